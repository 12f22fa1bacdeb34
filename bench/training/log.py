"""The log of a training run: a JSON-lines file, TensorBoard events and a line of progress."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO

from bench.files.files import named, no_link
from bench.plugins.recipe import Recipe
from bench.record.arms import AccuracyArm
from bench.training.evaluate import Result
from bench.training.images.files import Files
from bench.training.loop import Watch
from bench.training.processes import World

LOG_LINES = 20_000
"""The most step lines in one log: a longer training run logs every n-th step only."""
PROGRESS_S = 1.0
"""Seconds between two lines of progress."""


@dataclass
class Log:
    """The log of one training run, open while the run is inside the `with` block.

    Events go to a JSON-lines file and, if TensorBoard is installed, to its event files; neither is
    written if `files` is None. `tell` receives a line of progress about once a second.
    """

    files: Files | None
    steps: int
    recipe: Recipe
    steps_per_epoch: int
    tell: Callable[[str], None]
    top1: float | None = None
    told: float = 0.0
    file: TextIO | None = None
    board: Any = None
    first: tuple[int, float] | None = None
    """Step and time of the first call in this process: the speed is counted from there."""

    def __enter__(self) -> Log:
        if self.files is not None:
            self.files.log.parent.mkdir(parents=True, exist_ok=True)
            self.file = no_link(self.files.log).open("a", encoding="utf-8")
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                return self
            self.board = SummaryWriter(str(self.files.tensorboard))
        return self

    def __exit__(self, *_: object) -> None:
        for output in (self.file, self.board):
            if output is not None:
                output.close()

    @property
    def watch(self) -> Watch:
        """The callbacks for the training loop."""
        return Watch(step=self._step, look=self._look)

    def start(self, arm: AccuracyArm, step: int, split: str, world: World) -> None:
        """Log that a training run starts, or continues at `step`."""
        self._write(
            event="start",
            model=arm.model,
            recipe=self.recipe.name,
            recipe_hash=self.recipe.hash,
            seed=arm.seed,
            policy=arm.policy,
            data=arm.data,
            split=split,
            step=step,
            steps=self.steps,
            processes=world.size,
        )

    def end(self, result: Result) -> None:
        """Log the final evaluation."""
        self._write(event="end", top1=result.top1, images=len(result.first))

    def _step(self, step: int, loss: float, rate: float) -> None:
        if step % max(1, -(-self.steps // LOG_LINES)) == 0:
            epoch = step / self.steps_per_epoch
            self._write(event="step", step=step, epoch=epoch, loss=loss, learning_rate=rate)
            if self.board is not None:
                self.board.add_scalar("loss", loss, step)
                self.board.add_scalar("learning_rate", rate, step)
        now = time.monotonic()
        if self.first is None:
            self.first = (step, now)
        if now - self.told >= PROGRESS_S:
            self.told = now
            self.tell(self._progress(step, loss, now))

    def _progress(self, step: int, loss: float, now: float) -> str:
        epoch = step // self.steps_per_epoch + 1
        text = f"epoch {epoch}/{self.steps / self.steps_per_epoch:.4g}, loss {loss:.3f}"
        if self.top1 is not None:
            text += f", validation {self.top1:.1%}"
        assert self.first is not None
        taken, elapsed = step - self.first[0], now - self.first[1]
        if taken:
            images_per_s = taken * self.recipe.batch_size / elapsed
            left = (self.steps - step) * elapsed / taken
            text += f", {images_per_s:,.0f} images/s, {_clock(left)} left"
        return text

    def _look(self, step: int, top1: float, seconds: float) -> None:
        self.top1 = top1
        epoch = step / self.steps_per_epoch
        self._write(event="look", step=step, epoch=epoch, select_top1=top1, seconds=seconds)
        if self.board is not None:
            self.board.add_scalar("select_top1", top1, step)

    def _write(self, **line: Any) -> None:
        if self.files is not None and self.file is not None:
            with named(self.files.log):
                self.file.write(json.dumps(line) + "\n")
                self.file.flush()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
