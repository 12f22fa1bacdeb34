"""A small network, and the same network run twice per call: their ratio of speeds is known, 2."""

from __future__ import annotations

from torch import Tensor, nn

from bench.plugins import models

SMALL = "convmixer_digits"


class Twice(nn.Module):
    """Runs a network twice on the same images and returns the second result."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        self.network(images)
        return self.network(images)


def once(*, image_size: int, num_classes: int) -> nn.Module:
    """Return the network."""
    return models.get(SMALL).build(image_size=image_size, num_classes=num_classes)


def twice(*, image_size: int, num_classes: int) -> nn.Module:
    """Return the network run twice per call."""
    return Twice(once(image_size=image_size, num_classes=num_classes))
