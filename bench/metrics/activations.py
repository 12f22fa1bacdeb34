"""Elements that convolutions and matrix products of one forward pass write: what has to be kept for training."""

from bench.measure.subject import CountSubject
from bench.plugins import Metric, Reading, metrics


def measure(subject: CountSubject, window: float) -> Reading:
    """The count for one image, in elements of whatever precision is used."""
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
