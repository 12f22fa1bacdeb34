"""The thing that is measured: one arm, built and made ready inside its worker."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from bench import memory
from bench.errors import UsageError
from bench.plugins import policies
from bench.record import Arm, Scalar, SpeedArm
from bench.timing import Clock, clock_for, warm_up

# Settings that change what a speed sample means; stored in the record and part of its key.
SPEED_SETTINGS: dict[str, Scalar] = {
    "protocol": 1,
    "window_s": 0.3,
    "warmup_window_s": 0.15,
    "warmup_agree": 0.05,
    "warmup_windows": 8,
    "mode": "inference",
    "input": "standard normal, on the device",
    "clock": "wall, device synchronised: latency after every call, throughput once per window",
}


@dataclass
class Reading:
    """What one window gave: raw values in the metric's unit, details for the record, large arrays for a sidecar."""

    values: list[float]
    detail: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)


@dataclass
class Execution:
    """How a model is run. Policies change it in place, in their order, before the first call."""

    model: Callable[..., Tensor]
    inputs: Tensor
    device: str
    contexts: list[Callable[[], contextlib.AbstractContextManager[Any]]] = field(default_factory=list)

    def call(self) -> Tensor:
        """One forward pass without gradients."""
        with torch.inference_mode(), contextlib.ExitStack() as stack:
            for context in self.contexts:
                stack.enter_context(context())
            return self.model(self.inputs)


@dataclass
class Subject:
    """What a metric is handed. `execution` is there for speed arms; `build` makes a fresh model for the others."""

    arm: Arm
    device: str
    build: Callable[[], nn.Module]
    clock: Clock
    seed: int
    execution: Execution | None = None
    memory_before: int = 0
    seconds_per_call: float = 0.0
    """As the warm-up left it; how many calls fill a window follows from it."""
    progress: Callable[[str], None] = lambda text: None

    def call(self) -> Tensor:
        """One forward pass of a speed arm."""
        assert self.execution is not None, "only speed arms are executed"
        return self.execution.call()


def split_policy(policy: str) -> list[str]:
    """The switches of a policy, each once, in their order of application; unknown or clashing ones are UsageErrors."""
    switches = sorted({policies.get(part.strip()) for part in policy.split("+")}, key=lambda switch: switch.order)
    for left, right in pairwise(switches):
        if left.slot == right.slot:
            raise UsageError(f"--policies: {policy}: {left.name} and {right.name} both set the {left.slot}; keep one of them")
    return [switch.name for switch in switches]


def prepare(subject: Subject) -> dict[str, Scalar]:
    """Build a speed arm, apply its policy, make the first call and warm up; returns the times for the run line."""
    arm = subject.arm
    assert isinstance(arm, SpeedArm)
    clock = subject.clock
    subject.memory_before = memory.before(subject.device)
    start = clock.now()
    model = subject.build().eval().to(subject.device)
    generator = torch.Generator().manual_seed(subject.seed)
    inputs = torch.randn(arm.batch_size, 3, arm.image_size, arm.image_size, generator=generator).to(subject.device)
    subject.execution = Execution(model=model, inputs=inputs, device=subject.device)
    for name in split_policy(arm.policy):
        policies.get(name).apply(subject.execution)
    clock.synchronize()
    built = clock.now()
    logits = subject.call()
    clock.synchronize()
    first = clock.now()
    check_logits(logits, arm)
    settings = SPEED_SETTINGS
    medians, steady = warm_up(
        subject.call,
        clock,
        window=float(settings["warmup_window_s"] or 0),
        agree=float(settings["warmup_agree"] or 0),
        windows=int(settings["warmup_windows"] or 0),
    )
    subject.seconds_per_call = max(medians[-1], 1e-9)
    return {
        "build_s": built - start,
        "first_call_s": first - built,
        "warmup_windows": len(medians),
        "steady": steady,
        "seconds_per_call": subject.seconds_per_call,
    }


def check_logits(logits: Tensor, arm: SpeedArm) -> None:
    """Raise where the output is not finite logits of the right shape: a speed of wrong results is worth nothing."""
    expected = (arm.batch_size, arm.num_classes)
    if tuple(logits.shape) != expected:
        raise ValueError(f"{arm.model} gave an output of shape {tuple(logits.shape)}, expected {expected}")
    if not torch.isfinite(logits).all():
        raise ValueError(f"{arm.model} gave an output with NaN or infinity under {arm.policy}")


def open_subject(arm: Arm, *, device: str, seed: int, build: Callable[[], nn.Module], progress: Callable[[str], None]) -> Subject:
    """A subject with the right clock; speed arms still have to be prepared."""
    return Subject(arm=arm, device=device, build=build, clock=clock_for(device), seed=seed, progress=progress)
