"""ImageNet-1k and its relatives, on disk; published weights are evaluated on it, recipes train on it.

Its validation set is our test split: labels of the real test set are nobody's. ImageNet-V2 is a test split alone.
What a class's number is follows from the folder's name: its WordNet id, which timm lists in ImageNet's order, or what a
`classes.txt` beside `train/` and `val/` says. Names in words would sort into another order, and every top-1 would be wrong.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial
from pathlib import Path

from timm.data import ImageNetInfo

from bench.datasets._pictures import Found, folders, looked_through
from bench.errors import UsageError
from bench.plugins import Dataset, datasets
from bench.training.images.splits import Splits

CLASSES = 1000
MAPPING = "classes.txt"
SYNSET = re.compile(r"n\d{8}")


def opened(name: str, argument: str) -> Splits:
    """train/ (not needed to evaluate) and val/ or validation/, folders or .tar."""
    return folders(
        argument,
        flag=f"--data {name}:{argument}",
        classes=CLASSES,
        test_alone=True,
        order=ORDERS[name],
    )


def found(name: str, argument: str) -> Found:
    """What is there, without an image being opened."""
    return looked_through(argument, f"--data {name}:{argument}", CLASSES, True, ORDERS[name])


@lru_cache(maxsize=1)
def synsets() -> list[str]:
    """The WordNet ids of ImageNet-1k's classes, by their numbers."""
    return list(ImageNetInfo("imagenet-1k").label_names())


def by_synset(names: list[str], place: Path) -> list[str]:
    """Folders by their WordNet ids, or as a classes.txt says; UsageError where neither gives their numbers."""
    known = set(synsets())
    if not (strange := [name for name in names if name not in known]):
        return synsets()
    for beside in (place.parent, place):
        if (beside / MAPPING).is_file():
            return by_mapping(names, beside / MAPPING)
    whose = (
        "is no WordNet id of ImageNet-1k"
        if SYNSET.fullmatch(strange[0])
        else "is no WordNet id such as n01440764"
    )
    raise UsageError(
        f"--data imagenet: {place} has a folder {strange[0]}, which {whose}, so its class number is not known; rename the folders, or put "
        f"a {MAPPING} into {place.parent} with a line per folder: its name, a tab, its WordNet id"
        + ("; folders 0 to 999 are --data imagenet_v2" if _numbered(names) else "")
    )


def by_mapping(names: list[str], file: Path) -> list[str]:
    """Folders as a file gives their WordNet ids: `folder<tab>n01440764`, or one folder a line in ImageNet's order."""
    lines = [
        line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()
    ]
    pairs = [
        line.rpartition("\t")[::2] if "\t" in line else line.rpartition(" ")[::2] for line in lines
    ]
    if all(folder and SYNSET.fullmatch(synset) for folder, synset in pairs):
        folder_of = {synset: folder.strip() for folder, synset in pairs}
        ordered = [folder_of.get(synset, "") for synset in synsets()]
    else:
        ordered = lines
    if len(ordered) == len(set(ordered)) == CLASSES and set(ordered) == set(names):
        return ordered
    odd = sorted(set(names) ^ set(ordered) - {""})
    raise UsageError(
        f"--data imagenet: {file} does not give each of the {CLASSES} class folders its own WordNet id of ImageNet-1k"
        + (f" (such as {odd[0]})" if odd else "")
        + "; a line per folder is needed: its name, a tab, its WordNet id"
    )


def by_number(names: list[str], place: Path) -> list[str]:
    """Folders 0 to 999 by their values, as ImageNet-V2 has them, or by their WordNet ids."""
    return sorted(names, key=int) if _numbered(names) else by_synset(names, place)


def _numbered(names: list[str]) -> bool:
    return all(name.isdecimal() for name in names) and {int(name) for name in names} == set(
        range(CLASSES)
    )


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
