"""The three splits of a data set, in memory or on disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from bench.errors import UsageError, one_line
from bench.files.foreign_errors import raise_if_of_the_system
from bench.training.images.showing import View

SELECT_SHARE, SELECT_MOST = 0.05, 10_000
"""Share and largest number of training images that become the validation split if there is none."""


class Part(Protocol):
    """One split: its `labels` (n,) int64, and its images."""

    @property
    def labels(self) -> Tensor: ...

    def __len__(self) -> int: ...

    def subset(self, indices: Tensor) -> Any:
        """Return the images at `indices` (m,), in that order, as a split."""
        ...

    def shown(self, view: View) -> Tensor:
        """Return the images as a view shows them, (n, 3, size, size) float32.

        Those that cannot be read are left out; UsageError if that leaves none.
        """
        ...


@dataclass(frozen=True)
class Split:
    """A split in memory: `images` (n, 3, size, size) uint8, `labels` (n,) int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor) -> Split:
        return Split(self.images[indices], self.labels[indices])

    def shown(self, view: View) -> Tensor:
        return torch.cat(list(view.batches(self.images)))

    def to(self, device: torch.device) -> Split:
        """Return the split on another device."""
        return Split(self.images.to(device), self.labels.to(device))


class Source(Protocol):
    """Stored images. It is pickled for the processes that read them.

    So it must have neither an open file nor a local function.
    """

    def read(self, at: int) -> Any:
        """Return image `at` as PIL's in RGB; raises any error of its reader if it is damaged."""
        ...

    def name(self, at: int) -> str:
        """Return what messages call image `at`."""
        ...


@dataclass(frozen=True)
class Pictures:
    """A split that is read image by image; `indices` (n,) int64 are its places in the source."""

    source: Source
    indices: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, at: int) -> Any:
        """Return the image at a place of this split; raises any error of its reader."""
        return self.source.read(int(self.indices[at]))

    def name(self, at: int) -> str:
        """Return what messages call the image at a place of this split."""
        return self.source.name(int(self.indices[at]))

    def trouble(self, at: int) -> str:
        """Return why the image at a place cannot be read, in a few words; "" if it can be."""
        try:
            self.read(at)
        except Exception as error:
            return one_line(error) or type(error).__name__
        return ""

    def subset(self, indices: Tensor) -> Pictures:
        return replace(self, indices=self.indices[indices], labels=self.labels[indices])

    def shown(self, view: View) -> Tensor:
        transform, images = view.transform, []
        for at in range(len(self)):
            try:
                picture = self.read(at)
            except Exception as error:  # whatever its reader raises
                raise_if_of_the_system(error)
                continue
            images.append(transform(picture))
        if not images:
            raise UsageError(f"--data: none of {len(self)} images can be read: {self.trouble(0)}")
        return torch.stack(images)


@dataclass(frozen=True, kw_only=True)
class Splits:
    """A data set: `train`, the validation split `select` for every choice, and `test`.

    The test split is read once, at the end. `name` says how the splits were made; it is stored in
    the record. `mean` and `std` normalise images in [0, 1], with a value per channel. `train` and
    `select` are None if there is only a test split.
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
        """True if the images are in memory, and hence on the device."""
        return isinstance(self.test, Split)

    def whole(self, size: int) -> View:
        """Return the view of whole images, squashed to `size` pixels and normalised."""
        return View(
            size=size,
            crop=1.0,
            interpolation="bilinear",
            mean=self.mean,
            std=self.std,
            crop_mode="squash",
        )


def statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std per channel of uint8 images (n, 3, h, w), as shares of 255.

    The sums are of integers, and exact.
    """
    total, squares, count = torch.zeros(3, dtype=torch.int64), torch.zeros(3, dtype=torch.int64), 0
    for piece in images.split(4096):
        values = piece.int()
        total += values.sum(dim=(0, 2, 3))
        squares += values.mul_(values).sum(dim=(0, 2, 3))
        count += values.numel() // 3
    mean = total.double() / (255 * count)
    variance = (squares.double() / (255**2 * count) - mean.square()).clamp_min(1e-12)
    return tuple(mean.tolist()), tuple(variance.sqrt().tolist())


def commonest(splits: Splits) -> float:
    """Return the share of the most frequent class: the top-1 of always answering that class."""
    labels: Tensor = splits.test.labels
    return float(labels.bincount().max()) / len(labels)


def carve(train: Part, *, seed: int = 0) -> tuple[Any, Any, str]:
    """Return the rest of the training split, a validation split drawn from it, and how, in words.

    The draw depends on `seed` alone, so it is the same for every model and run.
    """
    size = max(1, min(SELECT_MOST, round(SELECT_SHARE * len(train))))
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    kept, selected = order[size:].sort().values, order[:size].sort().values
    return train.subset(kept), train.subset(selected), f"select {size} of train by seed {seed}"


def fewer(splits: Splits, share: float) -> Splits:
    """Return the splits with only a share of the training images.

    The images are the first in one fixed order, so a smaller share is a part of a larger one. They
    are repeated up to the number of all, so an epoch keeps its number of steps. The other splits
    and the normalisation stay as they are.
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
    """Return train, select and test in memory, normalised by the training images."""
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
    """Cut a data set in its file order into train, select and test.

    `images` are (n, 3, size, size) uint8, `labels` (n,) int64; `train` and `select` are shares.
    """
    cuts = (int(len(labels) * train), int(len(labels) * (train + select)))
    parts = zip(torch.tensor_split(images, cuts), torch.tensor_split(labels, cuts), strict=True)
    cut = [Split(*part) for part in parts]
    return held(f"file-order {len(cut[0])}/{len(cut[1])}/{len(cut[2])}", cut, num_classes)
