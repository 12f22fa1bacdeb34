"""Train one model under one recipe: the loop, and nothing of where images come from or results go.

Only the training split's feed is read here; the select split is looked at through a function that is passed in, and
changes nothing. Every random draw is a function of the seed and the step, so the state of a training is its tensors
and its step: killed and resumed it ends with the weights that it would have had.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import timm.optim
import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from bench.count import process_guard
from bench.count.outputs import AUXILIARY_WEIGHT, heads
from bench.errors import Diverged
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
"""How often the select split is looked at, evenly over the steps."""
SAVING = 0.02
"""Share of the time that may go into checkpoints."""
CHECK_EVERY = 25
"""On a GPU the loss is read only so often, since reading waits for the device."""


@dataclass
class Curve:
    """What a training looked like: per step its loss and rate; at some steps, after so many seconds, select accuracy."""

    loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    select_step: list[int] = field(default_factory=list)
    select_seconds: list[float] = field(default_factory=list)
    select_top1: list[float] = field(default_factory=list)


@dataclass
class Watch:
    """Who follows a training. `step(step, loss, rate)` after each, `look(step, top1, seconds)` after each look."""

    step: Callable[[int, float, float], None] = lambda step, loss, rate: None
    look: Callable[[int, float, float], None] = lambda step, top1, seconds: None


@dataclass(kw_only=True)
class Training:
    """One model on its way through `steps` optimizer steps.

    `execution` is how its forward pass runs (precision, layout, compiler), its model is what the optimizer changes.
    `look` evaluates the select split with a model; `save_to` is where checkpoints go.
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
    """What a checkpoint has to say to be one of this training."""
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
        )
        self.loss_of = loss_of(recipe)
        self.ema = (
            ModelEmaV3(self.model, decay=recipe.ema_decay) if recipe.ema_decay is not None else None
        )
        self.curve = Curve()
        self.step = 0
        self.seconds = 0.0
        """Spent on steps, over all starts; looks and checkpoints not included."""
        self.auxiliary = 0
        """Heads that are trained beside the one that is evaluated."""
        self._settings = process_guard.now()
        self._unread: list[tuple[int, Tensor]] = []
        self._saved_at, self._saving_s = self.now(), 0.0
        self._share = self.world.share(recipe, self.device)
        self._clock = clock_for(str(self.device))
        self._looks = {round(self.steps * number / LOOKS) for number in range(1, LOOKS + 1)} - {0}
        self._channels_last = self.execution.inputs.is_contiguous(memory_format=torch.channels_last)
        self._runner: Callable[[Tensor], Any] = self.execution.model
        if self.world.size > 1:
            # Its hooks average the gradients; the statistics of batch norms stay each process's own until they are needed.
            assert isinstance(self.execution.model, nn.Module)
            where = [self.device.index] if self.device.type == "cuda" else None
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", FutureWarning
                )  # newer torch has another word for broadcast_buffers
                self._runner = nn.parallel.DistributedDataParallel(
                    self.execution.model, device_ids=where, broadcast_buffers=False
                )

    @property
    def result(self) -> nn.Module:
        """The weights that are evaluated: the moving average where the recipe has one."""
        return self.ema.module if self.ema is not None else self.model

    def go(self) -> Curve:
        """Train to the end, from wherever it is. Raises Diverged where the loss stops being finite."""
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
        """One optimizer step over this process's micro-batches; returns their mean loss over all processes."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)
        self.optimizer.zero_grad(set_to_none=True)
        scaler, total = self.execution.scaler, torch.zeros((), device=self.device)
        for number, (images, targets) in enumerate(batches):
            # What is random inside a model (dropped branches) is drawn anew for each micro-batch, whoever has it.
            seed_everything(
                self.seed,
                "forward",
                self.step,
                self._share.micro_batches[number],
                self._share.first,
            )
            if self._channels_last:
                images = images.contiguous(memory_format=torch.channels_last)
            last = number == len(batches) - 1
            alone = nullcontext() if last or self.world.size == 1 else self._runner.no_sync()  # type: ignore[attr-defined]
            with alone:
                with self.execution.within():
                    logits, *others = heads(
                        self._runner(images), len(images), self.execution.classes
                    )
                self.auxiliary = len(others)
                loss = self.loss_of(logits.float(), targets)
                for other in others:
                    loss = loss + AUXILIARY_WEIGHT * self.loss_of(other.float(), targets)
                loss = loss / len(batches)
                (scaler.scale(loss) if scaler is not None else loss).backward()
            total += loss.detach()
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
        return self.world.mean(total)

    def _read(self) -> None:
        """Take in the losses of the last steps; by now the bench's settings have to be what they were."""
        process_guard.check(self._settings, f"by step {self.step}")
        for step, tensor in self._unread:
            loss = float(tensor)
            if not math.isfinite(loss):
                rate = self.curve.learning_rate[step]
                raise Diverged(
                    f"the loss was {loss} at step {step} of {self.steps} (recipe {self.recipe.name}, learning rate {rate:g})"
                )
            self.curve.loss.append(loss)
            self.watch.step(step, loss, self.curve.learning_rate[step])
        self._unread = []

    def _look(self) -> None:
        """Evaluate the select split with the weights as they are."""
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
        """Whether a checkpoint now keeps their cost within its share of the time; the leader's word holds for all."""
        worth = self.save_to is not None and self.now() - self._saved_at > max(
            1.0, self._saving_s / SAVING
        )
        return worth if self.world.size == 1 else self.world.from_leader(worth)

    # What is kept

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
        tensors = {
            f"{part}/{name}": tensor
            for part, content in parts.items()
            for name, tensor in content.items()
        }
        scaler = self.execution.scaler.state_dict() if self.execution.scaler is not None else None
        state = {
            "identity": self.identity,
            "step": self.step,
            "seconds": self.seconds,
            "optimizer": optimizer,
            "scaler": scaler,
        }
        checkpoint.save(self.save_to, tensors, state | {"curve": asdict(self.curve)})
        self._saved_at, self._saving_s = self.now(), self.now() - before

    def resume(self) -> bool:
        """Go on from the checkpoint, where there is one of this very training; False where there is none."""
        if self.save_to is None or not self.save_to.exists():
            return False
        tensors, state = checkpoint.load(self.save_to)
        if state.get("identity") != self.identity:
            return False
        parts: dict[str, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            part, _, name = key.partition("/")
            parts.setdefault(part, {})[name] = tensor
        self.model.load_state_dict(parts["model"])
        if self.ema is not None:
            self.ema.module.load_state_dict(parts["ema"])
        checkpoint.restore_optimizer(self.optimizer, parts.get("optimizer", {}), state["optimizer"])
        if self.execution.scaler is not None and state["scaler"] is not None:
            self.execution.scaler.load_state_dict(state["scaler"])
        self.step, self.seconds, self.curve = (
            state["step"],
            state["seconds"],
            Curve(**state["curve"]),
        )
        return True
