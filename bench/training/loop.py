"""The training loop: one model under one recipe, whatever the source of images.

The loop reads the training split's feed; it evaluates the validation split by a function that it is
given, which changes nothing. Every random draw is a function of the seed and the step, so the state
of a training run is its tensors and its step: killed and resumed, it ends with the same weights.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import timm.optim
import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from bench.count import process_guard
from bench.count.outputs import AUXILIARY_WEIGHT, heads
from bench.errors import Diverged, UsageError
from bench.files.foreign_errors import refusing
from bench.measure.subject import Execution
from bench.measure.timing import clock_for
from bench.plugins.recipe import Recipe
from bench.training import checkpoint
from bench.training.images.batches import Feed
from bench.training.losses import loss_of
from bench.training.processes import ALONE, World
from bench.training.schedule import learning_rate
from bench.training.seeding import seed_everything

LOOKS = 20
"""Evaluations of the validation split, spread evenly over the steps."""
SAVING = 0.02
"""Largest share of the time for checkpoints."""
CHECK_EVERY = 25
"""Steps between two readings of the loss on a GPU, since reading waits for the device."""


@dataclass
class Curve:
    """The course of a training run.

    Per step its loss and learning rate; at some steps the top-1 on the validation split, with the
    seconds of training until then.
    """

    loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    select_step: list[int] = field(default_factory=list)
    select_seconds: list[float] = field(default_factory=list)
    select_top1: list[float] = field(default_factory=list)


class _Course(msgspec.Struct):
    """The part of a checkpoint's state that says how far the training run had come."""

    step: Annotated[int, msgspec.Meta(ge=0)]
    seconds: Annotated[float, msgspec.Meta(ge=0)]
    curve: Curve


@dataclass
class Watch:
    """Callbacks: `step(step, loss, rate)` after each step, `look(step, top1, seconds)` after each
    evaluation of the validation split."""

    step: Callable[[int, float, float], None] = lambda step, loss, rate: None
    look: Callable[[int, float, float], None] = lambda step, top1, seconds: None


@dataclass(kw_only=True)
class Training:
    """A training run of `steps` optimizer steps.

    `model` has the parameters that the optimizer changes, `execution` is its forward pass with
    precision, layout and compiler. `look` returns a model's top-1 on the validation split.
    `save_to` is the path of the checkpoint; None saves none.
    """

    model: nn.Module
    execution: Execution
    feed: Feed
    recipe: Recipe
    steps: int
    seed: int
    device: torch.device
    world: World = ALONE
    look: Callable[[nn.Module], float] | None = None
    watch: Watch = field(default_factory=Watch)
    save_to: Any = None
    identity: dict[str, Any] = field(default_factory=dict)
    """What a checkpoint must contain to be continued by this training run."""
    now: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        assert self.steps > 0
        recipe = self.recipe
        self.optimizer = timm.optim.create_optimizer_v2(
            self.model,
            opt=recipe.optimizer,
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            eps=recipe.epsilon,
            filter_bias_and_bn=not recipe.decay_vectors,
        )
        self.loss_of = loss_of(recipe)
        self.ema: ModelEmaV3 | None = None
        if recipe.ema_decay is not None:
            self.ema = ModelEmaV3(self.model, decay=recipe.ema_decay)
        self.curve = Curve()
        self.step = 0
        self.seconds = 0.0
        """Spent on steps, over all starts, without evaluations and checkpoints."""
        self.auxiliary = 0
        """Heads that are trained besides the one that is evaluated."""
        self._settings = process_guard.now()
        self._unread: list[tuple[int, Tensor]] = []
        self._saved_at, self._saving_s = self.now(), 0.0
        self._share = self.world.share(recipe, self.device)
        self._clock = clock_for(str(self.device))
        self._looks = {round(self.steps * number / LOOKS) for number in range(1, LOOKS + 1)} - {0}
        self._channels_last = self.execution.inputs.is_contiguous(memory_format=torch.channels_last)
        self._runner: Callable[[Tensor], Any] = self.execution.model
        if self.world.size > 1:
            self._runner = self._distributed()

    def _distributed(self) -> nn.Module:
        """Return the model with hooks that average its gradients over the processes.

        The statistics of batch norms stay each process's own until they are needed.
        """
        assert isinstance(self.execution.model, nn.Module)
        where = [self.device.index] if self.device.type == "cuda" else None
        with warnings.catch_warnings():
            # Newer versions of torch have another name for broadcast_buffers.
            warnings.simplefilter("ignore", FutureWarning)
            return nn.parallel.DistributedDataParallel(
                self.execution.model, device_ids=where, broadcast_buffers=False
            )

    @property
    def result(self) -> nn.Module:
        """The model that is evaluated: the moving average if the recipe has one."""
        return self.ema.module if self.ema is not None else self.model

    def go(self) -> Curve:
        """Train from the current step to the end. Raises Diverged if a loss is NaN or infinite."""
        self.model.train()
        began = self.now()
        for batches in self.feed.steps(self.step, self.steps):
            rate = learning_rate(self.recipe, self.step, self.steps)
            loss = self._optimize(batches, rate)
            self._unread.append((self.step, loss))
            self.curve.learning_rate.append(rate)
            self.step += 1
            look = self.step in self._looks or self.step == self.steps
            if look or self.device.type == "cpu" or len(self._unread) >= CHECK_EVERY:
                self._read()
            if look or self._worth_saving():
                self._clock.synchronize()
                self.seconds += self.now() - began
                if look:
                    self._look()
                self.save()
                began = self.now()
        return self.curve

    def _optimize(self, batches: list[tuple[Tensor, Tensor]], rate: float) -> Tensor:
        """Take one optimizer step over this process's micro-batches.

        Returns their mean loss over all processes.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)
        self.optimizer.zero_grad(set_to_none=True)
        scaler, total = self.execution.scaler, torch.zeros((), device=self.device)
        for number, (images, targets) in enumerate(batches):
            # Draws inside the model (dropped branches) depend on the micro-batch, not the process.
            micro = self._share.micro_batches[number]
            seed_everything(self.seed, "forward", self.step, micro, self._share.first)
            if self._channels_last:
                images = images.contiguous(memory_format=torch.channels_last)
            with self._gradients_averaged(last=number == len(batches) - 1):
                loss = self._loss(images, targets) / len(batches)
                (scaler.scale(loss) if scaler is not None else loss).backward()
            total += loss.detach()
        self._update()
        return self.world.mean(total)

    def _gradients_averaged(self, *, last: bool) -> AbstractContextManager[None]:
        """Return a context in which only the last backward pass averages over the processes."""
        if last or self.world.size == 1:
            return nullcontext()
        context: AbstractContextManager[None] = self._runner.no_sync()  # type: ignore[attr-defined]
        return context

    def _loss(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of a micro-batch; auxiliary heads count with their weight."""
        with self.execution.within():
            logits, *others = heads(self._runner(images), len(images), self.execution.classes)
        self.auxiliary = len(others)
        loss = self.loss_of(logits.float(), targets)
        for other in others:
            loss = loss + AUXILIARY_WEIGHT * self.loss_of(other.float(), targets)
        return loss

    def _update(self) -> None:
        """Clip the gradients and change the weights, and their moving average."""
        scaler = self.execution.scaler
        if self.recipe.clip_norm is not None:
            if scaler is not None:
                scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        if scaler is not None:
            scaler.step(self.optimizer)
            scaler.update()
        else:
            self.optimizer.step()
        if self.ema is not None:
            self.ema.update(self.model)

    def _read(self) -> None:
        """Record the losses of the last steps; raise ModelFault if the model changed settings."""
        process_guard.check(self._settings, f"by step {self.step}")
        for step, tensor in self._unread:
            loss = float(tensor)
            if not math.isfinite(loss):
                rate = self.curve.learning_rate[step]
                raise Diverged(
                    f"the loss was {loss} at step {step} of {self.steps} "
                    f"(recipe {self.recipe.name}, learning rate {rate:g})"
                )
            self.curve.loss.append(loss)
            self.watch.step(step, loss, self.curve.learning_rate[step])
        self._unread = []

    def _look(self) -> None:
        """Evaluate the validation split with the present weights."""
        self.world.average_statistics(self.model)
        if self.look is None:
            return
        top1 = self.look(self.result)
        self.model.train()
        self.curve.select_step.append(self.step)
        self.curve.select_seconds.append(self.seconds)
        self.curve.select_top1.append(top1)
        self.watch.look(self.step, top1, self.seconds)

    def _worth_saving(self) -> bool:
        """True if a checkpoint now keeps their cost within its share of the time.

        The leader decides for all processes.
        """
        elapsed = self.now() - self._saved_at
        worth = self.save_to is not None and elapsed > max(1.0, self._saving_s / SAVING)
        return worth if self.world.size == 1 else self.world.from_leader(worth)

    # Checkpoints

    def save(self) -> None:
        """Write everything that the next step depends on."""
        self._read()
        if self.save_to is None or not self.world.leads:
            return
        before = self.now()
        moments, optimizer = checkpoint.optimizer_state(self.optimizer)
        parts = {"model": self.model.state_dict(), "optimizer": moments}
        if self.ema is not None:
            parts["ema"] = self.ema.module.state_dict()
        tensors = {}
        for part, content in parts.items():
            for name, tensor in content.items():
                tensors[f"{part}/{name}"] = tensor
        scaler = self.execution.scaler
        state = {
            "identity": self.identity,
            "step": self.step,
            "seconds": self.seconds,
            "optimizer": optimizer,
            "scaler": scaler.state_dict() if scaler is not None else None,
            "curve": asdict(self.curve),
        }
        checkpoint.save(self.save_to, tensors, state)
        self._saved_at, self._saving_s = self.now(), self.now() - before

    def resume(self) -> bool:
        """Continue from the checkpoint; False if there is none of this training run.

        Raises UsageError if it is damaged.
        """
        if self.save_to is None or not self.save_to.exists():
            return False
        tensors, state = checkpoint.load(self.save_to)
        if state.get("identity") != self.identity:
            return False
        with refusing(partial(_no_checkpoint, self.save_to)):
            self._restore(tensors, state)
        return True

    def _restore(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Put back what `save` stored; any exception if it is not that."""
        said = msgspec.convert(state, _Course)
        if said.step > self.steps or len(said.curve.loss) != said.step:
            raise ValueError(f"step {said.step} of {self.steps} has {len(said.curve.loss)} losses")
        parts: dict[str, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            part, _, name = key.partition("/")
            parts.setdefault(part, {})[name] = tensor
        self.model.load_state_dict(parts.get("model", {}))
        if self.ema is not None:
            self.ema.module.load_state_dict(parts["ema"])
        checkpoint.restore_optimizer(self.optimizer, parts.get("optimizer", {}), state["optimizer"])
        if self.execution.scaler is not None and state["scaler"] is not None:
            self.execution.scaler.load_state_dict(state["scaler"])
        self.step, self.seconds, self.curve = said.step, said.seconds, said.curve


def _no_checkpoint(path: Path, words: str) -> UsageError:
    return UsageError(
        f"{path}: not a checkpoint of this training run ({words}); move it away to start anew"
    )
