"""Image folders: one folder per class in train/ and in val/ or test/, of any classes."""

from __future__ import annotations

from bench.datasets._pictures import FoundSplits, find_splits, folders
from bench.plugins import Dataset, datasets
from bench.training.images.splits import Splits


def load(argument: str) -> Splits:
    """Return the folder's splits; of two, the validation split is carved from train."""
    return folders(argument, flag=f"--data folder:{argument}")


def found(argument: str) -> FoundSplits:
    """Find the splits without opening an image."""
    return find_splits(argument, f"--data folder:{argument}", None, False, None)


datasets.add(
    Dataset(
        name="folder",
        open=load,
        num_classes=lambda argument: len(found(argument).names),
        check=found,
        recipe="small_folder",
        argument="/path",
        summary="folder:/path, any images in train/<class>/* and val/ or test/<class>/*; small "
        "ones are kept in memory",
    )
)
