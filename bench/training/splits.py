"""The three splits of a data set that fits into memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """`images` (n, 3, size, size) float32 in [0, 1]; `labels` (n,) int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Train, select (carved from train, for every choice) and test (read once, at the end).

    `name` says how the split was made; it is stored in the record. `mean` and `std` are those of the training
    images, one value per channel.
    """

    name: str
    train: Split
    select: Split
    test: Split
    num_classes: int

    def normalised(self, images: Tensor) -> Tensor:
        """Images with the mean and deviation of the training split taken out."""
        mean = self.train.images.mean(dim=(0, 2, 3), keepdim=True)
        std = self.train.images.std(dim=(0, 2, 3), keepdim=True)
        return (images - mean.to(images.device)) / std.to(images.device)


def by_file_order(images: Tensor, labels: Tensor, *, train: float, select: float, num_classes: int) -> Splits:
    """Cut a data set in its file order into train, select and test; `train` and `select` are shares of the whole."""
    cuts = (int(len(labels) * train), int(len(labels) * (train + select)))
    parts = zip(torch.tensor_split(images, cuts), torch.tensor_split(labels, cuts), strict=True)
    cut = [Split(*part) for part in parts]
    return Splits(
        name=f"file-order {len(cut[0])}/{len(cut[1])}/{len(cut[2])}",
        train=cut[0],
        select=cut[1],
        test=cut[2],
        num_classes=num_classes,
    )
