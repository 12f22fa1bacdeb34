"""The part that the subjects of all four kinds of arm share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from torch import nn

from bench.count import process_guard
from bench.measure.gpu import Gpu
from bench.measure.messages import Job
from bench.measure.timing import Clock
from bench.record.arms import AccuracyArm, CountArm, ProbeArm, SpeedArm
from bench.record.schema import Scalar

A = TypeVar("A", CountArm, SpeedArm, AccuracyArm, ProbeArm)


@dataclass
class ArmSubject(Generic[A]):
    """One arm in its worker process: what a metric is handed."""

    arm: A
    device: str
    build: Callable[..., nn.Module]
    """Build the arm's model with random weights; `build(image_size)` builds it at another size."""
    clock: Clock
    seed: int
    gpu: Gpu | None = None
    memory_limit: int | None = None
    """Bytes that the process may allocate beyond what it starts with; None: no limit."""
    job: Job | None = None
    """What the worker was told; None outside of a worker."""
    held: process_guard.Values = field(default_factory=lambda: process_guard.now())
    """Process settings that must not change before the last window has been measured."""
    set_back: dict[str, str] = field(default_factory=dict)
    """Settings that the model's code changed while it was imported, built or first called, and
    that were restored."""
    progress: Callable[[str], None] = lambda text: None

    def prepare(self) -> None:
        """Do what `ready` needs of the processor alone, while the device may be busy."""

    def make_reference(self) -> None:
        """Write the file of the logits that timed executions are compared with."""
        raise AssertionError("only timed arms have a reference")

    def ready(self) -> dict[str, Scalar]:
        """Prepare for the first window; return the set-up times for the run line."""
        return {}

    def wake(self, window: float) -> None:
        """Warm the caches up again after a pause between windows of `window` seconds."""

    def check_settings(self, when: str) -> None:
        """Raise ModelFault if the model's code changed a setting of this process."""
        process_guard.check(self.held, when)
