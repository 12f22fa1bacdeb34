"""Elements that convolutions and matrix products of one forward pass write: what has to be kept for training."""

import torch

from bench.counting import count_activations
from bench.plugins import Metric, metrics
from bench.record import CountArm
from bench.subject import Reading, Subject


def measure(subject: Subject, window: float) -> Reading:
    """The count for one image, in elements of whatever precision is used."""
    assert isinstance(subject.arm, CountArm)
    size = subject.arm.image_size
    return Reading([float(count_activations(subject.build().eval(), torch.randn(1, 3, size, size)))])


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
