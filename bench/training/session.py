"""One accuracy arm from its data set to its result: open, train, evaluate; with a checkpoint, a log, and a word of progress.

Runs in a worker process, or in every process that `torchrun` started: all do the same, the leader alone writes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

import torch
from timm.layers import resample_abs_pos_embed
from torch import nn

from bench.count.outputs import AUXILIARY_WEIGHT
from bench.errors import UsageError
from bench.files.files import no_link
from bench.measure import memory
from bench.measure.subject import Execution
from bench.plugins import open_data, policies, split_policy
from bench.plugins.recipe import Recipe, changed, recipes
from bench.record.arms import AccuracyArm
from bench.training import checkpoint
from bench.training.evaluate import Result, evaluate, view_of
from bench.training.images.batches import FromDisk, feed_of
from bench.training.images.files import Files
from bench.training.images.splits import Splits, commonest, fewer
from bench.training.loop import Curve, Training, Watch
from bench.training.processes import ALONE, World
from bench.training.stochastic_depth import drop_paths

LOG_LINES = 20_000
"""Longer trainings log every n-th step, so that no log has more lines of steps than this."""


@dataclass
class Trained:
    """What a training gave."""

    result: Result
    curve: Curve
    detail: dict[str, Any]


def recipe_of(arm: AccuracyArm) -> Recipe:
    """The recipe that an arm trains under, its own learning rate and epochs in it."""
    assert arm.recipe is not None
    recipe = recipes.get(arm.recipe)
    own = {"learning_rate": arm.learning_rate, "epochs": arm.epochs}
    return changed(recipe, **{name: value for name, value in own.items() if value is not None})


def train_and_evaluate(
    arm: AccuracyArm,
    *,
    build: Callable[[int], nn.Module],
    device: torch.device,
    seed: int,
    workers: int,
    data: str | None = None,
    files: Files | None = None,
    world: World = ALONE,
    tell: Callable[[str], None] = lambda text: None,
) -> Trained:
    """Train an arm's model and evaluate it once, on the arm's split of its data, opened as `data` where that is not their name.

    Raises Diverged, UsageError, NotImplementedError.
    """
    recipe = recipe_of(arm)
    tell("opening the images")
    splits = fewer(open_data(data or arm.data), recipe.data_share)
    size = recipe.image_size or arm.image_size
    model = build(size)
    drop_paths(model, recipe.drop_path, name=arm.model)
    model.to(device)
    feed = feed_of(
        splits,
        recipe,
        seed=seed,
        share=(share := world.share(recipe, device)),
        device=device,
        image_size=size,
        workers=workers,
    )
    if share.together is not None:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model, _group(world, share.together))
    execution = Execution(
        model=model,
        inputs=torch.zeros(2, 3, size, size, device=device),
        device=str(device),
        mode="training",
        classes=arm.num_classes,
    )
    for switch in split_policy(arm.policy or "fp32"):
        policies.get(switch).apply(execution)
    steps = max(1, round(recipe.epochs * feed.steps_per_epoch))
    view = view_of(recipe, splits, size)

    def look(result: nn.Module) -> float:
        return evaluate(
            result,
            splits.select,
            view,
            device=device,
            workers=workers,
            world=world,
            within=execution.within,
            progress=lambda done, total: tell(f"looking at select, {done} of {total}"),
        ).top1

    training = Training(
        model=model,
        execution=execution,
        feed=feed,
        recipe=recipe,
        steps=steps,
        seed=seed,
        device=device,
        world=world,
        look=look,
        save_to=files.checkpoint if files else None,
        identity={
            "arm": files.stem if files else "",
            "recipe": recipe.hash,
            "steps": steps,
            "seed": seed,
            "split": splits.name,
        },
    )
    memory_before = memory.before(str(device), pages="all")
    memory.reset_peak(str(device))
    resumed = training.resume()
    if len(set(world.gather(training.step))) > 1:
        raise UsageError(
            f"--results: not every process sees {training.save_to}; trainings of several machines need a shared folder"
        )
    with Log(files if world.leads else None, steps, recipe, feed.steps_per_epoch, tell) as log:
        log.start(arm, training.step if resumed else 0, splits.name, world)
        training.watch = log.watch
        curve = training.go()
        peak = memory.peak(str(device), memory_before, pages="all")
        tested = at_test_size(arm, training.result, recipe, build).to(device)
        result = evaluate(
            tested,
            splits.test if arm.split == "test" else splits.select,
            view_of(recipe, splits, arm.image_size),
            device=device,
            workers=workers,
            world=world,
            within=execution.within,
            progress=lambda done, total: tell(f"evaluating, {done} of {total}"),
        )
        log.end(result)
    if files and world.leads:
        keep(files, tested, arm, recipe, splits)
    images = steps * recipe.batch_size
    detail = {
        "train_s": training.seconds,
        "epochs": steps / feed.steps_per_epoch,
        "steps": steps,
        "images_per_s": images / training.seconds if training.seconds else 0.0,
        "peak_memory_bytes": peak,
        "final_loss": curve.loss[-1],
        "split": splits.name,
        "mean": list(splits.mean),
        "std": list(splits.std),
        "processes": world.size,
        **(
            {"auxiliary_heads": training.auxiliary, "auxiliary_weight": AUXILIARY_WEIGHT}
            if training.auxiliary
            else {}
        ),
        "commonest_class": commonest(splits),
        "unreadable": result.broken
        + (
            [splits.train.name(at) for at in sorted(feed.broken)]
            if isinstance(feed, FromDisk)
            else []
        ),
    }
    return Trained(result, curve, detail)


def _group(world: World, together: int) -> Any:
    """The process group that this process's micro-batch is spread over. Everybody has to make all of them."""
    groups = [
        torch.distributed.new_group(list(range(first, first + together)))
        for first in range(0, world.size, together)
    ]
    return groups[world.rank // together]


def at_test_size(
    arm: AccuracyArm, model: nn.Module, recipe: Recipe, build: Callable[[int], nn.Module]
) -> nn.Module:
    """The trained model at the size it is tested at: itself, or its weights in one built for that size."""
    if recipe.image_size in (None, arm.image_size):
        return model
    return in_size(model.state_dict(), build, arm.image_size, name=arm.model)


def in_size(
    weights: Mapping[str, torch.Tensor], build: Callable[[int], nn.Module], size: int, *, name: str
) -> nn.Module:
    """Trained weights in a model built for another image size.

    Positional embeddings are resampled as timm does it; NotImplementedError where a model is tied to its size otherwise.
    """
    other, trained = build(size), dict(weights)
    there = other.state_dict()
    for key in there.keys() & trained.keys():
        if (
            key.endswith("pos_embed")
            and there[key].shape != trained[key].shape
            and there[key].ndim == 3
        ):
            side = int(there[key].shape[1] ** 0.5)
            prefix = there[key].shape[1] - side * side
            trained[key] = resample_abs_pos_embed(
                trained[key], [side, side], num_prefix_tokens=prefix
            )
    try:
        other.load_state_dict(trained)
    except RuntimeError as error:
        raise NotImplementedError(
            f"{name} is tied to the image size that it was trained at, and {size} is another"
        ) from error
    return other


def keep(files: Files, model: nn.Module, arm: AccuracyArm, recipe: Recipe, splits: Splits) -> None:
    """Write the evaluated weights with what is needed to evaluate them again."""
    view = view_of(recipe, splits, arm.image_size)
    state = {
        "model": arm.model,
        "image_size": arm.image_size,
        "num_classes": arm.num_classes,
        "recipe": recipe.name,
        "data": arm.data,
        "seed": arm.seed,
        "view": {
            "crop": view.crop,
            "interpolation": view.interpolation,
            "mean": view.mean,
            "std": view.std,
        },
    }
    checkpoint.save(files.weights, dict(model.state_dict()), state)


@dataclass
class Log:
    """The JSON-lines log of a training, TensorBoard's events where it is installed, and a line for whoever waits."""

    files: Files | None
    steps: int
    recipe: Recipe
    steps_per_epoch: int
    tell: Callable[[str], None]
    top1: float | None = None
    told: float = 0.0
    file: TextIO | None = None
    board: Any = None
    first: tuple[int, float] | None = field(default=None)

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
        for open_one in (self.file, self.board):
            if open_one is not None:
                open_one.close()

    @property
    def watch(self) -> Watch:
        """What the loop calls."""
        return Watch(step=self._step, look=self._look)

    def start(self, arm: AccuracyArm, step: int, split: str, world: World) -> None:
        """A training begins, or goes on at `step`."""
        self._write(
            event="start", model=arm.model, recipe=self.recipe.name, recipe_hash=self.recipe.hash, seed=arm.seed, policy=arm.policy,
            data=arm.data, split=split, step=step, steps=self.steps, processes=world.size,
        )  # fmt: skip

    def end(self, result: Result) -> None:
        """It is evaluated."""
        self._write(event="end", top1=result.top1, images=len(result.first))

    def _step(self, step: int, loss: float, rate: float) -> None:
        if step % max(1, -(-self.steps // LOG_LINES)) == 0:
            self._write(
                event="step",
                step=step,
                epoch=step / self.steps_per_epoch,
                loss=loss,
                learning_rate=rate,
            )
            if self.board is not None:
                self.board.add_scalar("loss", loss, step)
                self.board.add_scalar("learning_rate", rate, step)
        now = time.monotonic()
        if self.first is None:
            self.first = (step, now)
        if now - self.told < 1:
            return
        self.told = now
        taken, gone = step - self.first[0], now - self.first[1]
        speed = (
            f", {taken * self.recipe.batch_size / gone:,.0f} images/s, {_clock((self.steps - step) * gone / taken)} left"
            if taken
            else ""
        )
        select = f", select {self.top1:.1%}" if self.top1 is not None else ""
        self.tell(
            f"epoch {step // self.steps_per_epoch + 1}/{self.steps / self.steps_per_epoch:.4g}, loss {loss:.3f}{select}{speed}"
        )

    def _look(self, step: int, top1: float, seconds: float) -> None:
        self.top1 = top1
        self._write(
            event="look",
            step=step,
            epoch=step / self.steps_per_epoch,
            select_top1=top1,
            seconds=seconds,
        )
        if self.board is not None:
            self.board.add_scalar("select_top1", top1, step)

    def _write(self, **line: Any) -> None:
        if self.file is not None:
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
