"""The pictures that quantisation is calibrated on: some of a data set's training split."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.plugins import dataset_of, models
from bench.record.schema import Scalar
from bench.training.evaluate import EvaluationImages, memory_batches
from bench.training.images.splits import Split
from bench.training.images.views import shown

PICTURES = 64
"""Pictures that ranges of activations are taken from."""


@dataclass(frozen=True)
class Calibration:
    """Pictures for a quantised engine: images (n, 3, size, size) float32, as they are evaluated."""

    images: Tensor
    name: str

    def batches(self, size: int) -> list[Tensor]:
        """Return whole batches of `size` images; pictures are repeated to fill the last."""
        missing = -len(self.images) % size
        places = torch.arange(len(self.images) + missing) % len(self.images)
        return list(self.images[places].split(size))

    def described(self) -> dict[str, Scalar]:
        """Return the pictures' name and number, for the record."""
        return {"calibrated_on": self.name, "calibration_pictures": len(self.images)}


def calibration(data: str, model: str, size: int) -> Calibration:
    """Return pictures of the training split of `--data`, in one fixed draw, at `size` pixels.

    Raises UsageError if the data cannot be used.
    """
    dataset, argument = dataset_of(data)
    splits = dataset.open(argument)
    train = splits.train if splits.train is not None else splits.test
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:PICTURES]
    chosen = train.subset(order)
    view = shown(models.get(model), dataset, size=size).of(splits)
    if isinstance(chosen, Split):
        images = torch.cat(list(memory_batches(chosen, view)))
    else:
        read = EvaluationImages(chosen, view)
        images = torch.stack([image for image, broken in map(read.__getitem__, range(len(read))) if not broken])
    return Calibration(images, f"{data.partition(':')[0]}, {splits.name}")
