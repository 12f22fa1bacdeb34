"""The three splits of a data set, in memory or on disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from bench.errors import one_line

SELECT_SHARE, SELECT_MOST = 0.05, 10_000
"""How much of the training images becomes the select split where a data set brings none."""


class Part(Protocol):
    """One split: `labels` (n,) int64 and a way to get at the images."""

    @property
    def labels(self) -> Tensor: ...

    def __len__(self) -> int: ...

    def subset(self, indices: Tensor) -> Any:
        """The images at `indices`, in that order, as a split of their own."""
        ...


@dataclass(frozen=True)
class Split:
    """A split that is held in memory: `images` (n, 3, size, size) uint8; `labels` (n,) int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor) -> Split:
        return Split(self.images[indices], self.labels[indices])

    def to(self, device: torch.device) -> Split:
        """The same on another device."""
        return Split(self.images.to(device), self.labels.to(device))


class Source(Protocol):
    """Where images lie. It is pickled for the processes that read them, so it holds no open file and no local function."""

    def read(self, at: int) -> Any:
        """Image `at` as PIL's in RGB; whatever its reader raises where it is damaged."""
        ...

    def name(self, at: int) -> str:
        """What a message calls it."""
        ...


@dataclass(frozen=True)
class Pictures:
    """A split that is read image by image; `indices` (n,) are its images' places in the source."""

    source: Source
    indices: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, at: int) -> Any:
        """The image at a place of this split; whatever its reader raises where it is damaged."""
        return self.source.read(int(self.indices[at]))

    def name(self, at: int) -> str:
        """What a message calls the image at a place of this split."""
        return self.source.name(int(self.indices[at]))

    def trouble(self, at: int) -> str:
        """Why the image at a place cannot be read, in a few words; empty where it can be."""
        try:
            self.read(at)
        except Exception as error:
            return one_line(error) or type(error).__name__
        return ""

    def subset(self, indices: Tensor) -> Pictures:
        return replace(self, indices=self.indices[indices], labels=self.labels[indices])


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Train, select (for every choice) and test (read once, at the end).

    `name` says how the split was made; it is stored in the record. `mean` and `std` are what images in [0, 1] are
    normalised by, one value per channel. `train` and `select` are None where a source has a test split alone.
    """

    name: str
    train: Any
    select: Any
    test: Any
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def in_memory(self) -> bool:
        """Whether the images are held in memory, and hence on the device."""
        return isinstance(self.test, Split)


def statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation per channel of uint8 images, as shares of 255; exact sums, in pieces."""
    total, squares, count = torch.zeros(3, dtype=torch.int64), torch.zeros(3, dtype=torch.int64), 0
    for piece in images.split(4096):
        values = piece.int()
        total += values.sum(dim=(0, 2, 3))
        squares += values.mul_(values).sum(dim=(0, 2, 3))
        count += values.numel() // 3
    mean = total.double() / (255 * count)
    return tuple(mean.tolist()), tuple(
        (squares.double() / (255**2 * count) - mean.square()).clamp_min(1e-12).sqrt().tolist()
    )


def commonest(splits: Splits) -> float:
    """The share of the test images that are of their most frequent class: what always answering it would reach."""
    labels: Tensor = splits.test.labels
    return float(labels.bincount().max()) / len(labels)


def carve(train: Part, *, seed: int = 0) -> tuple[Any, Any, str]:
    """Train without select, select, and how that was done: a random draw by `seed`, the same for every model and run."""
    size = max(1, min(SELECT_MOST, round(SELECT_SHARE * len(train))))
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    kept, selected = order[size:].sort().values, order[:size].sort().values
    return train.subset(kept), train.subset(selected), f"select {size} of train by seed {seed}"


def fewer(splits: Splits, share: float) -> Splits:
    """With a share of the training images alone: the first of one fixed order, so that a smaller share lies within a larger.

    They are repeated until there are as many as before, and an epoch has as many steps. Select, test and the normalisation
    stay those of the whole.
    """
    if share == 1:
        return splits
    number = len(splits.train)
    size = max(1, round(share * number))
    order = torch.randperm(number, generator=torch.Generator().manual_seed(0))[:size].sort().values
    repeated = order.repeat(-(-number // size))[:number]
    return replace(
        splits, train=splits.train.subset(repeated), name=f"{splits.name}, {size} of train"
    )


def held(name: str, parts: Iterable[Split], num_classes: int) -> Splits:
    """Train, select and test in memory, normalised by their own training images."""
    train, select, test = parts
    mean, std = statistics(train.images)
    return Splits(
        name=name,
        train=train,
        select=select,
        test=test,
        num_classes=num_classes,
        mean=mean,
        std=std,
    )


def by_file_order(
    images: Tensor, labels: Tensor, *, train: float, select: float, num_classes: int
) -> Splits:
    """Cut a data set in its file order into train, select and test; `train` and `select` are shares of the whole."""
    cuts = (int(len(labels) * train), int(len(labels) * (train + select)))
    parts = zip(torch.tensor_split(images, cuts), torch.tensor_split(labels, cuts), strict=True)
    cut = [Split(*part) for part in parts]
    return held(f"file-order {len(cut[0])}/{len(cut[1])}/{len(cut[2])}", cut, num_classes)
