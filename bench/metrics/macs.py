"""Multiply-adds of one forward pass at batch 1: convolutions, linear layers and attention, no norm."""

from bench.measure.subject import CountSubject
from bench.plugins import Metric, Reading, metrics


def measure(subject: CountSubject, window: float) -> Reading:
    """The count by fvcore; torch's count and every operator that neither counted are kept with it."""
    counted = subject.counts
    return Reading([float(counted.macs)], {"check": counted.check, "uncounted": counted.uncounted})


metrics.add(
    Metric(
        name="macs",
        unit="MAC",
        better="lower",
        arm="count",
        measure=measure,
        summary="multiply-adds per image, norms left out",
    )
)
