"""Image folders: one folder per class below train/ and val/ or test/. Any classes, any number of them."""

from __future__ import annotations

from pathlib import Path

from bench.plugins import Dataset, datasets
from bench.training.data._pictures import TEST, TRAIN, VALIDATION, folders
from bench.training.splits import Splits


def load(argument: str) -> Splits:
    """The folder's splits; select is carved from train where there is no third one."""
    return folders(argument, flag=f"--data folder:{argument}")


def classes(argument: str) -> int:
    """How many class folders there are."""
    root = Path(argument)
    for name in (*TRAIN, *TEST, *VALIDATION):
        if (root / name).is_dir() and (found := sum(path.is_dir() for path in (root / name).iterdir())):
            return found
    return load(argument).num_classes


datasets.add(
    Dataset(
        name="folder",
        open=load,
        num_classes=classes,
        argument="/path",
        summary="folder:/path, any images in train/<class>/* and val/ or test/<class>/*; small ones are kept in memory",
    )
)
