"""CIFAR-10 and CIFAR-100: from torchvision, downloaded once, or from a folder of images. Held in memory."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from bench.errors import UsageError, one_line
from bench.plugins import Dataset, datasets
from bench.training.data._cache import cache
from bench.training.data._pictures import folders
from bench.training.splits import Split, Splits, carve, held


def load(name: str, classes: int, argument: str) -> Splits:
    """All images, uint8; `argument` is a folder with train/ and test/ of images, or where torchvision's files are or go."""
    flag = f"--data {name}" + (f":{argument}" if argument else "")
    if argument and (Path(argument) / "train").exists():
        return folders(argument, flag=flag, classes=classes)
    parts = [_part(name, split, argument, flag) for split in ("train", "test")]
    kept, selected, how = carve(parts[0])
    return held(f"{how}, {len(kept)}/{len(selected)}/{len(parts[1])}", (kept, selected, parts[1]), classes)


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
            image_size=32,
            argument="[/path]",
            summary=f"{_name}, downloaded where there is a network; {_name}:/path for files that are there",
        )
    )
