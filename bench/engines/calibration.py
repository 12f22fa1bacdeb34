"""The pictures that quantisation is calibrated on: some of a data set's training split."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.errors import UsageError
from bench.plugins import dataset_of, models
from bench.record.schema import Scalar
from bench.training.images.showing import View
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


def calibration(data: str, model: str, size: int, view: View | None = None) -> Calibration:
    """Return pictures of the training split of `--data`, in one fixed draw, at `size` pixels.

    They are shown as `view` says, else as usual for the model and the data.

    Raises UsageError if the data cannot be used, or have no training split.
    """
    dataset, argument = dataset_of(data)
    splits = dataset.open(argument)
    if splits.train is None:
        raise UsageError(
            f"--data: {data} has no training split, and quantisation must not see the test split; "
            "name a folder that has one"
        )
    order = torch.randperm(len(splits.train), generator=torch.Generator().manual_seed(0))
    view = view or shown(models.get(model), dataset, size=size).of(splits)
    images = splits.train.subset(order[:PICTURES]).shown(view)
    return Calibration(images, f"{dataset.name}, train of {splits.name}")
