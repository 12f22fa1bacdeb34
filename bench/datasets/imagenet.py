"""ImageNet-1k and its relatives, on disk: to evaluate published weights, and to train recipes.

ImageNet's validation set is our test split, since the labels of the real test set are not public.
ImageNet-V2 has a test split only. The number of a class follows from the name of its folder: a
WordNet id, in the order in which timm lists them, or what a `classes.txt` next to `train/` and
`val/` says. Names in words would sort into another order, and every top-1 would be wrong.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial
from pathlib import Path

from bench.datasets._pictures import FoundSplits, find_splits, folders
from bench.errors import UsageError
from bench.files.foreign_errors import text_of
from bench.plugins import Dataset, datasets
from bench.training.images.splits import Splits

CLASSES = 1000
MAPPING = "classes.txt"
LARGEST = 1 << 20
"""Largest size in bytes of a classes.txt."""
SYNSET = re.compile(r"n\d{8}")


def opened(name: str, argument: str) -> Splits:
    """Return train/ (not needed to evaluate) and val/ or validation/, folders or .tar files."""
    return folders(
        argument,
        flag=f"--data {name}:{argument}",
        classes=CLASSES,
        test_alone=True,
        order=ORDERS[name],
    )


def found(name: str, argument: str) -> FoundSplits:
    """Find the splits without opening an image."""
    return find_splits(argument, f"--data {name}:{argument}", CLASSES, True, ORDERS[name])


@lru_cache(maxsize=1)
def synsets() -> list[str]:
    """Return the WordNet ids of ImageNet-1k's classes, in the order of their numbers."""
    from timm.data import ImageNetInfo

    return list(ImageNetInfo("imagenet-1k").label_names())


def by_synset(names: list[str], place: Path) -> list[str]:
    """Return class folders in the order of their WordNet ids, or of a classes.txt.

    Raises UsageError if neither gives their numbers.
    """
    strange = sorted(set(names) - set(synsets()))
    if not strange:
        return synsets()
    for folder in (place.parent, place):
        if (folder / MAPPING).is_file():
            return by_mapping(names, folder / MAPPING)
    whose = "of ImageNet-1k" if SYNSET.fullmatch(strange[0]) else "such as n01440764"
    hint = "; folders 0 to 999 are --data imagenet_v2" if _numbered(names) else ""
    raise UsageError(
        f"--data imagenet: {place} has a folder {strange[0]}, which is no WordNet id {whose}, so "
        f"its class number is unknown; rename the folders, or put a {MAPPING} into {place.parent} "
        f"with a line per folder: its name, a tab, its WordNet id{hint}"
    )


def by_mapping(names: list[str], file: Path) -> list[str]:
    """Return class folders in the order that a file gives.

    Its lines are `folder<tab>n01440764`, or only folders in ImageNet's order. Raises UsageError if
    they are not one line for each of the folders.
    """

    def refuse(words: str) -> UsageError:
        return UsageError(
            f"--data imagenet: {file} cannot be read ({words}); it must have a line per folder: "
            "its name, a tab, its WordNet id"
        )

    lines = list(map(str.strip, text_of(file, LARGEST, refuse).splitlines()))
    ordered = _by_pairs(lines) or list(filter(None, lines))
    if len(ordered) == len(set(ordered)) == CLASSES and set(ordered) == set(names):
        return ordered
    odd = sorted(set(names) ^ set(ordered) - {""})
    example = f" (such as {odd[0]})" if odd else ""
    raise UsageError(
        f"--data imagenet: {file} does not give each of the {CLASSES} class folders its own "
        f"WordNet id of ImageNet-1k{example}; it must have a line per folder: its name, a tab, its "
        "WordNet id"
    )


def _by_pairs(lines: list[str]) -> list[str]:
    """Return the folders in the order of the ids, "" for none; [] if not all lines are pairs."""
    folder_of: dict[str, str] = {}
    for line in filter(None, lines):
        folder, _, synset = line.rpartition("\t" if "\t" in line else " ")
        if not folder or not SYNSET.fullmatch(synset):
            return []
        folder_of[synset] = folder.strip()
    return [folder_of.get(synset, "") for synset in synsets()]


def by_number(names: list[str], place: Path) -> list[str]:
    """Return folders 0 to 999 by their values, as ImageNet-V2 has them, or by their WordNet ids."""
    return sorted(names, key=int) if _numbered(names) else by_synset(names, place)


def _numbered(names: list[str]) -> bool:
    return all(map(str.isdecimal, names)) and set(map(int, names)) == set(range(CLASSES))


ORDERS = {"imagenet": by_synset, "imagenet_v2": by_number}

for name, summary in (
    ("imagenet", "imagenet:/path, with val/<class>/* and, to train, train/<class>/*"),
    (
        "imagenet_v2",
        "imagenet_v2:/path, the new test images (arXiv 1902.10811), one folder per class number",
    ),
):
    datasets.add(
        Dataset(
            name=name,
            open=partial(opened, name),
            num_classes=lambda argument: CLASSES,
            published=True,
            argument="/path",
            check=partial(found, name),
            summary=summary,
        )
    )
