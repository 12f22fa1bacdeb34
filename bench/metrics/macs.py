"""Multiply-adds of one forward pass at batch 1: convolutions, linear layers and attention."""

from bench.measure.subject import CountSubject
from bench.plugins import Metric, Reading, metrics


def measure(subject: CountSubject, window: float) -> Reading:
    """Return fvcore's count; `detail` has PyTorch's count and the operators that neither counts."""
    counted = subject.counts
    return Reading([float(counted.macs)], {"check": counted.check, "uncounted": counted.uncounted})


metrics.add(
    Metric(
        name="macs",
        unit="MAC",
        better="lower",
        arm="count",
        measure=measure,
        summary="multiply-adds per image, without norms",
    )
)
