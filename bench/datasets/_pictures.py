"""The splits of images in folders, archives and tables; and the usual trouble, said plainly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor

from bench.datasets._kept import Kept, kept
from bench.datasets._layout import Listed, folders_of, is_flat, listed, some
from bench.datasets._sources import Files
from bench.errors import UsageError
from bench.training.images.splits import Pictures, Source, Split, Splits, carve, held

SMALL = 64
"""Images of at most this many pixels a side, all of one size, are held in memory."""
FITS = 2 << 30
TRIED = 20
"""Images of a split that are opened before anything is begun."""
TRAIN, VALIDATION, TEST = ("train", "training"), ("val", "validation", "valid"), ("test",)

Order = Callable[[list[str], Path], list[str]]
"""The class names of a split's folder in the order of their numbers; UsageError where they are not those of the data set."""


@dataclass(frozen=True)
class Found:
    """What is below a root: each split that there is, the classes in the order of their numbers, and what to say of it."""

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
    """The splits of a folder with train/ and val/ or test/ below it, each a folder (or a .tar) of one folder per class.

    With train, val and test all three are taken as they are; with train and one of the others, select is carved from
    train. `test_alone`: the training images may be missing. `order` puts the classes in order where that is not the
    order of their names.
    """
    found = looked_through(argument, flag, classes, test_alone, order)
    if found.train is not None and found.select is None:
        return carved(found.train, found.test, len(found.names), found.remark)
    return splits_of(
        found.train,
        found.select,
        found.test,
        len(found.names),
        "as in the folder" if found.train else "test alone",
    )


@lru_cache(
    maxsize=4
)  # listing 1.3 million files takes its time, and checking, counting and opening all ask
def looked_through(
    argument: str, flag: str, classes: int | None, test_alone: bool, order: Order | None
) -> Found:
    """What `folders` makes splits of, without opening an image."""
    root = Path(argument)
    if not argument or not root.is_dir():
        raise UsageError(
            f"{flag}: {argument or 'an empty path'} is not a folder; give the one that holds train/ and val/"
        )
    train, validation, test, remark = _places(root)
    last = test or validation
    if last is None and train is None and test_alone and folders_of(root):
        last = root
    if last is None:
        instead = _nearer(root) or "; sort the images into train/<class>/ and val/<class>/"
        raise UsageError(
            f"{flag}: {root} has neither val/ nor test/ below it; it has {some(root)}{instead}"
        )
    if train is None and not test_alone:
        raise UsageError(
            f"{flag}: {root} has no train/ below it; it has {some(root)}{_nearer(root)}"
        )
    places = [place for place in (last, train, validation if test else None) if place is not None]
    parts = {place: listed(place, flag) for place in places}
    for place in places[1:]:
        _same_classes(place, parts[place].names, last, parts[last].names, flag)
    names = _named(parts[last].names, last, flag, classes, order)
    tested = _pictures(parts[last], names)
    trained = _pictures(parts[train], names) if train else None
    selected = _pictures(parts[validation], names) if trained and test and validation else None
    return Found(trained, selected, tested, names, remark)


def _places(root: Path) -> tuple[Path | None, Path | None, Path | None, str]:
    """Where train, validation and test are. Test images without labels are no split: then the validation images are tested."""
    train, validation, test = (_place(root, names) for names in (TRAIN, VALIDATION, TEST))
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
    """A hint where the folder that was meant lies one below, as archives are unpacked."""
    for name in folders_of(root):
        if _place(root / name, TRAIN) or _place(root / name, VALIDATION):
            return f"; did you mean {root / name}?"
    return ""


def _same_classes(place: Path, here: list[str], other: Path, there: list[str], flag: str) -> None:
    if set(here) == set(there):
        return
    only = [f"{name} in {place.name}/ alone" for name in here if name not in set(there)]
    only += [f"{name} in {other.name}/ alone" for name in there if name not in set(here)]
    raise UsageError(
        f"{flag}: {place.name}/ and {other.name}/ differ in their classes: {', '.join(only[:3])}{' ...' if len(only) > 3 else ''}; "
        "both need the same class folders"
    )


def _named(
    names: list[str], place: Path, flag: str, classes: int | None, order: Order | None
) -> list[str]:
    """The classes in the order of their numbers; UsageError where there are too few or others than expected."""
    if classes is not None and len(names) != classes:
        raise UsageError(
            f"{flag}: {place} has {len(names)} class folders; {classes} were expected, one per class"
        )
    if len(names) < 2:
        raise UsageError(
            f"{flag}: {place} has one class, {names[0]}; a classifier tells at least two apart, one folder per class"
        )
    return order(names, place) if order else names


def _pictures(part: Listed, names: list[str]) -> Pictures:
    number = {name: at for at, name in enumerate(names)}
    return pictures_of(part.source, [number[part.names[label]] for label in part.labels])


def pictures_of(source: Source, labels: Sequence[int]) -> Pictures:
    """All of a source's images."""
    return Pictures(
        source=source,
        indices=torch.arange(len(labels)),
        labels=torch.tensor(labels, dtype=torch.int64),
    )


def checked_labels(
    labels: Iterable[object], name: Callable[[int], str], flag: str, classes: int | None = None
) -> list[int]:
    """Labels as numbers of `classes`; UsageError that names the image of one that is none."""
    found = []
    for at, label in enumerate(labels):
        if not isinstance(label, int) or label < 0 or (classes is not None and label >= classes):
            needed = "a class number from 0 on" if classes is None else f"one of 0 to {classes - 1}"
            raise UsageError(
                f"{flag}: the label of {name(at)} is {str(label)[:40]}; {needed} is needed"
            )
        found.append(label)
    return found


def classes_of(labels: list[int], name: Callable[[int], str], flag: str) -> int:
    """How many classes the training labels are of; UsageError where one of the numbers from 0 to the largest never occurs."""
    seen = set(labels)
    if len(seen) < 2:
        raise UsageError(
            f"{flag}: all {len(labels)} training images are of one class; a classifier tells at least two apart"
        )
    if len(seen) <= max(seen):
        missing = next(number for number in range(len(seen)) if number not in seen)
        at = labels.index(max(seen))
        raise UsageError(
            f"{flag}: the label of {name(at)} is {labels[at]}, but no training image is of class {missing}; "
            f"number the {len(seen)} classes from 0 to {len(seen) - 1}"
        )
    return len(seen)


def carved(train: Pictures, test: Pictures, classes: int, remark: str = "") -> Splits:
    """Splits of a source that has two: select is carved from train."""
    kept, selected, how = carve(train)
    return splits_of(kept, selected, test, classes, f"{how}, {remark}" if remark else how)


def splits_of(
    train: Pictures | None, select: Pictures | None, test: Pictures, classes: int, how: str
) -> Splits:
    """Splits of images on disk; small ones of one size are read into memory."""
    sizes = [len(part) if part else 0 for part in (train, select, test)]
    name = f"{how}, {'/'.join(map(str, sizes))}"
    _first(test)
    if train is not None and select is not None and (side := _small(train)):
        sources = {id(part.source): part.source for part in (train, select, test)}
        whole = {
            key: kept(source, side) for key, source in sources.items() if isinstance(source, Files)
        }
        parts = [_in_memory(part, side, whole) for part in (train, select, test)]
        if all(part is not None for part in parts):
            return held(name, (part for part in parts if part is not None), classes)
    mean, std = IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
    return Splits(
        name=name, train=train, select=select, test=test, num_classes=classes, mean=mean, std=std
    )


def _small(part: Pictures) -> int:
    """The side of the first readable image where it is small and square, and all of them would fit; 0 else."""
    width, height = _first(part).size
    return width if width == height <= SMALL and 3 * width * height * len(part) <= FITS else 0


def _first(part: Pictures) -> Image.Image:
    """The first image that can be read; UsageError where none of the first twenty can be, before anything else is begun."""
    tried = min(TRIED, len(part))
    for at in range(tried):
        if not part.trouble(at):
            image: Image.Image = part.read(at)
            return image
    raise UsageError(
        f"--data: none of the first {tried} images can be read ({part.name(0)}: {part.trouble(0)}); mend or replace them"
    )


def _in_memory(part: Pictures, side: int, whole: dict[int, Kept | None]) -> Split | None:
    """All images of a split, those of files out of what is kept of their source; or None where one has another size: then
    they are read and resized one by one.

    UsageError where too many cannot be read; the others are left out by name.
    """
    from bench.training.images.loader import refuse_broken

    if id(part.source) in whole:
        files = whole[id(part.source)]
        found = None if files is None else _of_kept(files, part.indices)
    else:
        found = _one_by_one(part, side)
    if found is None:
        return None
    images, broken = found
    refuse_broken(broken, part)
    if not broken:
        return Split(images, part.labels)
    sound = torch.ones(len(part), dtype=torch.bool)
    sound[broken] = False
    return Split(images[sound], part.labels[sound])


def _of_kept(whole: Kept, indices: Tensor) -> tuple[Tensor, list[int]]:
    """The images at some places (n, 3, side, side), and which of them could not be read."""
    lost = set(whole.unreadable)
    broken = [place for place, at in enumerate(indices.tolist()) if at in lost] if lost else []
    return torch.from_numpy(whole.images[indices.numpy()]), broken


def _one_by_one(part: Pictures, side: int) -> tuple[Tensor, list[int]] | None:
    """The same of images in archives and tables."""
    images = torch.zeros(len(part), 3, side, side, dtype=torch.uint8)
    broken: list[int] = []
    for at in range(len(part)):
        try:
            image = part.read(at)
        except Exception:
            broken.append(at)
            continue
        if image.size != (side, side):
            return None
        images[at] = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    return images, broken
