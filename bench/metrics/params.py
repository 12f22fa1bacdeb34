"""Parameters of a model: all elements that an optimizer would train."""

from bench.measure.subject import CountSubject
from bench.plugins import Metric, Reading, metrics


def measure(subject: CountSubject, window: float) -> Reading:
    """Return the exact number, for `num_classes` outputs."""
    return Reading([float(sum(parameter.numel() for parameter in subject.build().parameters()))])


metrics.add(
    Metric(
        name="params",
        unit="parameter",
        better="lower",
        arm="count",
        measure=measure,
        summary="trainable parameters",
    )
)
