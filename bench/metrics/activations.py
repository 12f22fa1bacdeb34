"""Elements that the convolutions and matrix products of a forward pass write."""

from bench.measure.subject import CountSubject
from bench.plugins import Metric, Reading, metrics


def measure(subject: CountSubject, window: float) -> Reading:
    """Return the number of elements per image; it does not depend on the precision."""
    return Reading([float(subject.counts.activations)])


metrics.add(
    Metric(
        name="activations",
        unit="element",
        better="lower",
        arm="count",
        measure=measure,
        summary="outputs of convolutions, linear layers and attention per image",
    )
)
