"""The splits of images in folders, archives and tables, and plain messages for what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.datasets._image_cache import DecodedImages, cached_images
from bench.datasets._layout import ListedImages, contents, folders_of, is_flat, list_images
from bench.datasets._sources import FileSource
from bench.errors import UsageError
from bench.files.foreign_errors import raise_if_of_the_system
from bench.training.images.showing import IMAGENET_MEAN, IMAGENET_STD
from bench.training.images.splits import Pictures, Source, Split, Splits, carve, held

SMALL = 64
"""Images are held in memory if all are of one size, of at most this many pixels a side."""
FITS = 2 << 30
"""The most bytes of images that are held in memory."""
TRIED = 20
"""Images of a split that are tried for a readable one before anything starts."""
TRAIN, VALIDATION, TEST = ("train", "training"), ("val", "validation", "valid"), ("test",)

Order = Callable[[list[str], Path], list[str]]
"""Returns the class names of a split's folder in the order of their numbers.

Raises UsageError if they are not those of the data set.
"""


@dataclass(frozen=True)
class FoundSplits:
    """The splits in a folder, and the names of the classes in the order of their numbers.

    `remark` becomes part of the splits' name.
    """

    train: Pictures | None
    select: Pictures | None
    test: Pictures
    names: list[str]
    remark: str


def folders(
    argument: str,
    *,
    flag: str,
    classes: int | None = None,
    test_alone: bool = False,
    order: Order | None = None,
) -> Splits:
    """Return the splits of a folder with train/ and val/ or test/ in it, folders or .tar files.

    With train, val and test, all three are used as they are; with train and one of the others, the
    validation split is carved from train. See `find_splits` for the arguments.
    """
    found = find_splits(argument, flag, classes, test_alone, order)
    if found.train is not None and found.select is None:
        return carved(found.train, found.test, len(found.names), found.remark)
    how = "as in the folder" if found.train else "test alone"
    return splits_of(found.train, found.select, found.test, len(found.names), how)


# Listing 1.3 million files takes a while, and checking, counting and opening each ask for it.
@lru_cache(maxsize=4)
def find_splits(
    argument: str, flag: str, classes: int | None, test_alone: bool, order: Order | None
) -> FoundSplits:
    """Find the splits in a folder and list their images without opening any.

    Args:
        argument: The folder.
        flag: What messages call it, such as `--data folder:/path`.
        classes: How many classes there must be; None allows any number from two.
        test_alone: The training split may be missing.
        order: Puts the classes in the order of their numbers; None takes that of their names.

    Raises UsageError if there are no such splits.
    """
    root = Path(argument)
    if not argument or not root.is_dir():
        raise UsageError(
            f"{flag}: {argument or 'an empty path'} is not a folder; give the one that contains "
            "train/ and val/"
        )
    train, validation, test, remark = _places(root)
    last = test or validation
    if last is None and train is None and test_alone and folders_of(root):
        last = root
    if last is None:
        instead = _nearer(root) or "; sort the images into train/<class>/ and val/<class>/"
        raise UsageError(
            f"{flag}: {root} has neither val/ nor test/; found {contents(root)}{instead}"
        )
    if train is None and not test_alone:
        raise UsageError(f"{flag}: {root} has no train/; found {contents(root)}{_nearer(root)}")
    places = [place for place in (train, validation if test else None) if place is not None]
    parts = {place: list_images(place, flag) for place in (last, *places)}
    for place in places:
        _same_classes(place, parts[place].names, last, parts[last].names, flag)
    names = _named(parts[last].names, last, flag, classes, order)
    tested = _pictures(parts[last], names)
    trained = _pictures(parts[train], names) if train else None
    selected = _pictures(parts[validation], names) if trained and test and validation else None
    return FoundSplits(trained, selected, tested, names, remark)


def _places(root: Path) -> tuple[Path | None, Path | None, Path | None, str]:
    """Return where train, validation and test are, and a remark.

    Test images without labels are no split: the validation images are tested instead.
    """
    train, validation, test = _place(root, TRAIN), _place(root, VALIDATION), _place(root, TEST)
    if test is not None and validation is not None and is_flat(test):
        return train, validation, None, f"{test.name}/ has no labels, {validation.name}/ is tested"
    return train, validation, test, ""


def _place(root: Path, names: tuple[str, ...]) -> Path | None:
    for name in names:
        for path in (root / name, root / f"{name}.tar"):
            if path.exists():
                return path
    return None


def _nearer(root: Path) -> str:
    """Return a hint if a folder in `root` has the splits, as unpacking an archive may leave it."""
    for name in folders_of(root):
        if _place(root / name, TRAIN) or _place(root / name, VALIDATION):
            return f"; did you mean {root / name}?"
    return ""


def _same_classes(place: Path, here: list[str], other: Path, there: list[str], flag: str) -> None:
    if set(here) == set(there):
        return
    only = [f"{name} only in {place.name}/" for name in here if name not in there]
    only += [f"{name} only in {other.name}/" for name in there if name not in here]
    shown = ", ".join(only[:3]) + (" ..." if len(only) > 3 else "")
    raise UsageError(
        f"{flag}: {place.name}/ and {other.name}/ differ in their classes: {shown}; both must have "
        "the same class folders"
    )


def _named(
    names: list[str], place: Path, flag: str, classes: int | None, order: Order | None
) -> list[str]:
    """Return the classes in the order of their numbers; UsageError if they are not as expected."""
    if classes is not None and len(names) != classes:
        raise UsageError(
            f"{flag}: {place} has {len(names)} class folders; it must have {classes}, one per class"
        )
    if len(names) < 2:
        raise UsageError(
            f"{flag}: {place} has one class, {names[0]}; sort the images into at least two, one "
            "folder per class"
        )
    return order(names, place) if order else names


def _pictures(part: ListedImages, names: list[str]) -> Pictures:
    number = {name: at for at, name in enumerate(names)}
    return pictures_of(part.source, [number[part.names[label]] for label in part.labels])


def pictures_of(source: Source, labels: Sequence[int]) -> Pictures:
    """Return all images of a source, with their class numbers."""
    return Pictures(
        source=source,
        indices=torch.arange(len(labels)),
        labels=torch.tensor(labels, dtype=torch.int64),
    )


def checked_labels(
    labels: Iterable[object], name: Callable[[int], str], flag: str, classes: int | None = None
) -> list[int]:
    """Return labels as class numbers below `classes` (None: any).

    Raises UsageError for a label that is none, with the `name` of its image.
    """
    found = []
    for at, label in enumerate(labels):
        if not isinstance(label, int) or label < 0 or (classes is not None and label >= classes):
            needed = "a number from 0" if classes is None else f"a number from 0 to {classes - 1}"
            raise UsageError(
                f"{flag}: the label of {name(at)} is {str(label)[:40]}; it must be {needed}"
            )
        found.append(label)
    return found


def classes_of(labels: list[int], name: Callable[[int], str], flag: str) -> int:
    """Return the number of classes of the training labels.

    Raises UsageError if a number from 0 to the largest does not occur, or there is only one class.
    """
    seen = set(labels)
    if len(seen) < 2:
        raise UsageError(
            f"{flag}: all {len(labels)} training images are of one class; at least two are needed"
        )
    if len(seen) <= max(seen):
        missing = min(set(range(len(seen))) - seen)
        at = labels.index(max(seen))
        raise UsageError(
            f"{flag}: the label of {name(at)} is {labels[at]}, but no training image is of class "
            f"{missing}; number the {len(seen)} classes from 0 to {len(seen) - 1}"
        )
    return len(seen)


def carved(train: Pictures, test: Pictures, classes: int, remark: str = "") -> Splits:
    """Return the splits of a source that has two: the validation split is carved from train."""
    kept, selected, how = carve(train)
    return splits_of(kept, selected, test, classes, f"{how}, {remark}" if remark else how)


def splits_of(
    train: Pictures | None, select: Pictures | None, test: Pictures, classes: int, how: str
) -> Splits:
    """Return splits of images on disk; small images of one size are read into memory.

    `how` says in the splits' name where they come from.
    """
    sizes = [len(part or ()) for part in (train, select, test)]
    name = f"{how}, {'/'.join(map(str, sizes))}"
    _first(test)
    if train is not None and select is not None and (side := _small(train)):
        parts = _all_in_memory([train, select, test], side)
        if parts is not None:
            return held(name, parts, classes)
    return Splits(
        name=name,
        train=train,
        select=select,
        test=test,
        num_classes=classes,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )


def _small(part: Pictures) -> int:
    """Return the side of the first image if it is square and small and all fit; otherwise 0."""
    width, height = _first(part).size
    return width if width == height <= SMALL and 3 * width * height * len(part) <= FITS else 0


def _first(part: Pictures) -> Image.Image:
    """Return the first readable image; UsageError if none of the first twenty is."""
    tried = min(TRIED, len(part))
    for at in range(tried):
        if not part.trouble(at):
            image: Image.Image = part.read(at)
            return image
    raise UsageError(
        f"--data: none of the first {tried} images can be read ({part.name(0)}: "
        f"{part.trouble(0)}); repair or replace them"
    )


def _all_in_memory(parts: list[Pictures], side: int) -> list[Split] | None:
    """Return the images of all splits; None if one has another size than `side`.

    Raises UsageError if too many cannot be read; fewer are left out.
    """
    cached: dict[int, DecodedImages | None] = {}
    found = []
    for part in parts:
        source, key = part.source, id(part.source)
        if isinstance(source, FileSource) and key not in cached:
            cached[key] = cached_images(source, side)
        if key not in cached:
            images = _one_by_one(part, side)
        else:
            whole = cached[key]
            images = None if whole is None else _of_cached(whole, part.indices)
        if images is None:
            return None
        found.append(_readable(part, *images))
    return found


def _readable(part: Pictures, images: Tensor, broken: list[int]) -> Split:
    """Return a split of images (n, 3, side, side) without the `broken` ones."""
    from bench.training.images.loader import refuse_broken

    refuse_broken(broken, part)
    sound = torch.ones(len(part), dtype=torch.bool)
    sound[broken] = False
    return Split(images, part.labels) if not broken else Split(images[sound], part.labels[sound])


def _of_cached(whole: DecodedImages, indices: Tensor) -> tuple[Tensor, list[int]]:
    """Return the images at some places (n, 3, side, side), and which of them are unreadable."""
    lost = torch.tensor(whole.unreadable, dtype=torch.int64)
    broken: list[int] = torch.isin(indices, lost).nonzero().flatten().tolist()
    return torch.from_numpy(whole.images[indices.numpy()]), broken


def _one_by_one(part: Pictures, side: int) -> tuple[Tensor, list[int]] | None:
    """Return the same of images in archives and tables; None if one is not of that size."""
    images = torch.zeros(len(part), 3, side, side, dtype=torch.uint8)
    broken: list[int] = []
    for at in range(len(part)):
        try:
            image = part.read(at)
        except Exception as error:
            raise_if_of_the_system(error)
            broken.append(at)
            continue
        if image.size != (side, side):
            return None
        images[at] = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    return images, broken
