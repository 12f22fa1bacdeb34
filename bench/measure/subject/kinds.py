"""The subjects of count, accuracy and probe arms, and the choice of a class for an arm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import nn

from bench.count import process_guard
from bench.count.macs import MacCounts, count
from bench.measure import cpu_placement, process_settings
from bench.measure.gpu import gpu_for
from bench.measure.messages import Job
from bench.measure.subject.base import ArmSubject
from bench.measure.subject.speed import SpeedSubject
from bench.measure.timing import clock_for
from bench.record.arms import AccuracyArm, Arm, CountArm, ProbeArm, SpeedArm
from bench.record.schema import Scalar

T = TypeVar("T")


@dataclass
class CountSubject(ArmSubject[CountArm]):
    """A model to be counted, without a policy."""

    @cached_property
    def counts(self) -> MacCounts:
        """The operations and outputs of one forward pass over one image, counted once."""
        size = self.arm.image_size
        return count(self.build().eval(), torch.randn(1, 3, size, size))


@dataclass
class AccuracySubject(ArmSubject[AccuracyArm]):
    """A model to be trained or evaluated."""

    def check_settings(self, when: str) -> None:
        """Check nothing: the training loop checks by itself, and its policy changes settings."""


@dataclass
class ProbeSubject(ArmSubject[ProbeArm]):
    """The machine itself."""

    kept: dict[str, Any] = field(default_factory=dict)
    """Tensors and calls that are made once per process, by name."""

    def ready(self) -> dict[str, Scalar]:
        """Set the precision and, on a CPU, place the threads."""
        process_settings.tf32(self.arm.precision == "tf32")
        if self.device == "cpu":
            cpu_placement.settle()
        self.held = process_guard.now()
        return {}

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return what `make` returned when `name` was first asked for."""
        if name not in self.kept:
            self.kept[name] = make()
        kept: T = self.kept[name]
        return kept


KINDS: dict[type[Arm], type[ArmSubject[Any]]] = {
    CountArm: CountSubject,
    SpeedArm: SpeedSubject,
    AccuracyArm: AccuracySubject,
    ProbeArm: ProbeSubject,
}


def open_subject(
    arm: Arm,
    *,
    device: str,
    seed: int,
    build: Callable[..., nn.Module],
    progress: Callable[[str], None],
    job: Job | None = None,
    set_back: dict[str, str] | None = None,
) -> ArmSubject[Any]:
    """Return the subject for an arm, with the device's clock; it still has to be made `ready`.

    `job` is what a worker was told, and `set_back` the settings that were already restored.
    """
    return KINDS[type(arm)](
        arm=arm,
        device=device,
        build=build,
        clock=clock_for(device),
        seed=seed,
        gpu=gpu_for(device),
        memory_limit=job.memory if job is not None else None,
        job=job,
        set_back={} if set_back is None else set_back,
        progress=progress,
    )
