"""Image folders: one folder per class below train/ and val/ or test/. Any classes, any number of them."""

from __future__ import annotations

from bench.datasets._pictures import Found, folders, looked_through
from bench.plugins import Dataset, datasets
from bench.training.images.splits import Splits


def load(argument: str) -> Splits:
    """The folder's splits; select is carved from train where there is no third one."""
    return folders(argument, flag=f"--data folder:{argument}")


def found(argument: str) -> Found:
    """What is there, without an image being opened."""
    return looked_through(argument, f"--data folder:{argument}", None, False, None)


datasets.add(
    Dataset(
        name="folder",
        open=load,
        num_classes=lambda argument: len(found(argument).names),
        check=found,
        recipe="small_folder",
        argument="/path",
        summary="folder:/path, any images in train/<class>/* and val/ or test/<class>/*; small ones are kept in memory",
    )
)
