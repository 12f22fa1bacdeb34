"""Multiply-adds of one forward pass at batch 1: convolutions, linear layers and attention, no norm."""

import torch

from bench.counting import count_macs
from bench.plugins import Metric, metrics
from bench.record import CountArm
from bench.subject import Reading, Subject


def measure(subject: Subject, window: float) -> Reading:
    """The count by fvcore; torch's count and every operator that neither counted are kept with it."""
    assert isinstance(subject.arm, CountArm)
    size = subject.arm.image_size
    counted = count_macs(subject.build().eval(), torch.randn(1, 3, size, size))
    return Reading([float(counted.macs)], {"check": counted.check, "uncounted": counted.uncounted})


metrics.add(
    Metric(name="macs", unit="MAC", better="lower", arm="count", measure=measure, summary="multiply-adds per image, norms left out")
)
