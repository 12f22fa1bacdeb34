"""The subject of a speed arm: a model built, run once and warmed up under a policy."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from bench.count import process_guard
from bench.count.timed_weights import as_trained
from bench.devices import kind_of
from bench.measure import cpu_placement, memory, process_settings
from bench.measure.disturbance import free_memory
from bench.measure.messages import why_none
from bench.measure.subject import agreement
from bench.measure.subject.base import ArmSubject
from bench.measure.subject.check_images import check_images
from bench.measure.subject.execution import (
    Call,
    Execution,
    apply,
    check_output,
    training_step,
)
from bench.measure.timing import WarmUp, back_to_back, filled, warm_up
from bench.plugins import handwritten, precision_of
from bench.record.arms import SpeedArm
from bench.record.schema import Scalar

PART = 64
"""Images that are drawn at a time."""
WARMUP_WINDOW_S = 0.15
WARMUP_AGREE = 0.05
WARMUP_WINDOWS = 8
WARMUP_CAP_S = 1.2
SPEED_SETTINGS: dict[str, Scalar] = {
    "protocol": 4,
    "window_s": 0.15,
    "window": "at least window_s, and a quarter of the slowest call of the run up to 1 s",
    "wake": "untimed calls for an eighth of the window, where one takes at most half of it",
    "warmup_window_s": WARMUP_WINDOW_S,
    "warmup_agree": WARMUP_AGREE,
    "warmup_windows": WARMUP_WINDOWS,
    "warmup_cap_s": WARMUP_CAP_S,
    "input": "standard normal, on the device",
    "weights": "random; scales and shifts of norms drawn as after training, "
    "batch statistics taken from two images",
    "memory": "allocated, with a graph's pool; "
    "on a CPU anonymous pages over those before the model was built",
    "clock": "wall, device synchronised: latency after every call, throughput once per window",
}
"""Settings that change what a speed sample means. They are stored in the record and are part of its
key: another wording here makes new records."""


@dataclass
class SpeedSubject(ArmSubject[SpeedArm]):
    """A model under a policy. `ready` has to come before `call`."""

    execution: Execution | None = None
    call: Callable[[], Any] = field(default_factory=lambda: _not_ready)
    """The timed call: a forward pass or a training step."""
    memory_before: int = 0
    """Bytes in use before the model was built."""
    setup: dict[str, Scalar] = field(default_factory=dict)
    """What `ready` returned."""
    seconds_per_call: float = 1.0
    """Taken from the latest window."""
    tail_s: float = 0.0
    """Seconds that the latest window of calls back to back waited for the device at its end."""
    replay: Callable[[], Any] | None = None
    """The call captured in a CUDA graph, after a metric first asked for it."""
    weights: dict[str, Scalar] = field(default_factory=dict)
    """How many tensors were given values as after training."""
    prepared: nn.Module | None = None
    """The model on the CPU, if `prepare` has built it."""
    ahead_s: float = 0.0
    """Seconds that `prepare` took."""
    known: agreement.Reference | None = None
    """What the call's logits are compared with; None: nothing."""
    layer_macs: dict[str, int] | None = None
    """MACs per module, after a metric first counted them."""

    def calls_for(self, window: float) -> int:
        """Return how many calls fill a window, at least one."""
        return max(1, round(window / self.seconds_per_call))

    def back_to_back(self, window: float) -> tuple[int, float]:
        """Run calls back to back for about `window` seconds; return their number and the seconds.

        The speed of this window decides how many calls the next one takes, so that windows are
        equally long for all arms whatever their warm-up looked like.
        """
        calls = self.calls_for(window)
        window_taken = filled(self.call, self.clock, calls=calls)
        self.seconds_per_call = max(window_taken.seconds / calls, 1e-9)
        self.tail_s = window_taken.tail
        return calls, window_taken.seconds

    def wake(self, window: float) -> None:
        """Run untimed calls after a pause, unless one call takes most of a window anyway.

        The pause leaves caches cold. The calls are limited by time and not by number, because the
        model with longer calls would otherwise be warmed up for longer.
        """
        if self.execution is not None and self.seconds_per_call <= window / 2:
            back_to_back(self.call, self.clock, calls=self.calls_for(window / 8))

    def prepare(self) -> None:
        """Build the model on the CPU and open the GPU, which takes most of an eager arm's set-up.

        Does nothing if the model is for the CPU: there it would count as memory in use before.
        """
        if not self.arm.is_timed or not kind_of(self.device).has_own_memory:
            return
        start = self.clock.now()
        self.prepared = self._timed_model()
        self.clock.synchronize()
        self.ahead_s = self.clock.now() - start

    def ready(self) -> dict[str, Scalar]:
        """Build the model, apply its policy, make the first call and warm up.

        A capacity arm is left alone: its metric builds a model per batch size.
        """
        if not self.arm.is_timed:
            return {}
        clock = self.clock
        self.memory_before = memory.before(self.device)
        start = clock.now()
        model = self._timed_model() if self.prepared is None else self.prepared
        self.prepared = None
        clock.synchronize()
        build_s = clock.now() - start
        self.known = self._reference_for(model)
        start = clock.now()
        self._build_call(model)
        clock.synchronize()
        built = clock.now()
        output = self.call()
        clock.synchronize()
        first = clock.now()
        self.set_back |= process_guard.set_back(self.held)
        check_output(output, self.arm)
        agrees = self._agrees()
        if self.device == "cpu":
            cpu_placement.settle()  # not earlier: compilers have finished by now
        warm = self._warm_up()
        process_guard.check(self.held, "while it was called again")
        self.seconds_per_call = max(warm.medians[-1], 1e-9)
        self.setup = {
            "build_s": build_s + built - start + self.ahead_s,
            "first_call_s": first - built,
            "warmup_s": clock.now() - first,
            "warmup_windows": len(warm.medians),
            "steady": warm.steady,
            "seconds_per_call": self.seconds_per_call,
            **agrees,
            **self._described(),
        }
        if self.ahead_s:
            self.setup["ahead_s"] = self.ahead_s
        return self.setup

    def make_reference(self) -> None:
        """Write the logits of the unchanged model in float32, on the device."""
        assert self.job is not None and self.job.reference is not None
        images, source = check_images(
            self.job.data, self.arm.image_size, self.seed, self.job.check_images
        )
        self._evaluated(self._timed_model(), images, source).save(self.job.reference)

    def _evaluated(self, model: nn.Module, images: Tensor, source: str) -> agreement.Reference:
        model = model.eval().to(self.device)
        busy = partial(self.progress, "evaluating in float32")
        return agreement.reference(model, images, source, self.device, busy)

    def _reference_for(self, model: nn.Module) -> agreement.Reference | None:
        """Return the reference for a model that no policy has changed yet.

        A model whose weights differ between processes, whatever the seed, is evaluated here.
        """
        if self.job is None or self.job.reference is None or self.arm.mode != "inference":
            return None
        known = agreement.Reference.load(self.job.reference)
        if known is None or known.weights == agreement.checksum_of(model):
            return known
        few = known.images[: agreement.FEWEST].float()
        return self._evaluated(model, few, known.source)

    def _agrees(self) -> dict[str, Scalar]:
        """Compare the timed call with the reference; return what the record says of it.

        Raises:
            WrongOutput: if they differ by more than the precision explains.
        """
        if self.known is None or self.execution is None or self.job is None:
            return self._not_checked()
        start = self.clock.now()
        found = agreement.checked(
            self.call, self.execution.inputs, self.known, thorough=self.job.thorough
        )
        says = agreement.verify(found, self.known, self.arm.policy)
        self.known = None  # it may be large
        return {**says, "agreement_s": self.clock.now() - start}

    def _not_checked(self) -> dict[str, Scalar]:
        """Return why there is nothing to compare the call with; empty if nothing was planned."""
        if self.job is None or self.job.reference is None or self.arm.mode != "inference":
            return {}
        reason = why_none(self.job.reference).read_text(encoding="utf-8")
        return agreement.not_checked(f"the model in float32 could not be evaluated: {reason}")

    def capacity_call(self, batch: int) -> Call:
        """Return a forward pass over `batch` images; nothing of an earlier attempt is reused."""
        if "torch._dynamo" in sys.modules:
            # PyTorch runs the ninth input size of one piece of compiled code eagerly.
            torch.compiler.reset()
        arm = msgspec.structs.replace(self.arm, batch_size=batch, mode="inference")
        execution = self._execution(arm, self.build().eval())
        return execution.finished(execution.inference)

    def _build_call(self, model: nn.Module) -> None:
        execution = self._execution(self.arm, model)
        training = self.arm.mode == "training"
        call = training_step(execution, self.arm) if training else execution.inference
        self.execution, self.call = execution, execution.finished(call)

    def _timed_model(self) -> nn.Module:
        """Build the model, with weights as after training, on the CPU.

        It stays there until the policy is applied, so that a GPU sees nothing of the preparation.
        """
        model = self.build().train(self.arm.mode == "training")
        with process_guard.kept(self.set_back):
            self.weights = as_trained(model, image_size=self.arm.image_size, seed=self.seed)
        return model

    def _execution(self, arm: SpeedArm, model: nn.Module) -> Execution:
        """Move model and images to the device and apply the switches of the policy."""
        execution = Execution(
            model=model.to(self.device),
            inputs=self._images(arm),
            device=self.device,
            mode=arm.mode,
            classes=arm.num_classes,
            model_name=arm.model,
            data=self.job.data if self.job is not None else None,
        )
        apply(arm.policy, execution)
        self.held = process_guard.now()
        return execution

    def _images(self, arm: SpeedArm) -> Tensor:
        """Draw the images a part at a time, so that a GPU's batch need not fit into the host."""
        generator = torch.Generator().manual_seed(self.seed)
        shape = (arm.batch_size, 3, arm.image_size, arm.image_size)
        if self.device == "cpu":
            _check_fits(4 * math.prod(shape), arm.batch_size)
        images = torch.empty(shape, device=self.device)
        for part in images.split(PART):
            part.copy_(torch.randn(part.shape, generator=generator))
        return images

    def _warm_up(self) -> WarmUp:
        return warm_up(
            self.call,
            self.clock,
            window=WARMUP_WINDOW_S,
            agree=WARMUP_AGREE,
            windows=WARMUP_WINDOWS,
            cap=WARMUP_CAP_S,
            frequency=self.gpu.clock if self.gpu else lambda: None,
        )

    def _described(self) -> dict[str, Scalar]:
        """What the record says about this process besides times."""
        described: dict[str, Scalar] = {"precision": precision_of(self.arm.policy)}
        if handwritten(self.arm.policy):
            described["handwritten"] = True
        described |= self.weights
        if self.execution is not None and self.execution.auxiliary:
            described["auxiliary_heads"] = self.execution.auxiliary
        if self.execution is not None:
            described |= self.execution.engine
        described |= process_settings.current()
        for name, value in self.held.items():
            described[f"held_{name}"] = value
        if self.set_back:
            changes = [f"{name} {values}" for name, values in self.set_back.items()]
            described["set_back"] = ", ".join(changes)
        return described


def _check_fits(size: int, batch: int) -> None:
    """Raise MemoryError if a batch of `size` bytes exceeds the free memory.

    Systems that promise more memory than they have would start to fill it, and end some program.
    """
    free = free_memory("cpu")
    if free is not None and size > free:
        raise MemoryError(
            f"out of memory: {batch:,} images take {size / 1e9:,.1f} GB, "
            f"{free / 1e9:.1f} GB are free"
        )


def _not_ready() -> None:
    raise AssertionError("call ready() first; capacity arms have no call at all")
