"""Images in folders, archives and hubs, read through timm's data set factory; and the usual trouble, said plainly."""

from __future__ import annotations

import io
import warnings
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, create_dataset
from torch import Tensor

from bench.errors import UsageError, one_line
from bench.training.splits import Pictures, Split, Splits, carve, held

SMALL = 64
"""Images of at most this many pixels a side, all of one size, are held in memory."""
FITS = 2 << 30
TRAIN, VALIDATION, TEST = ("train", "training"), ("val", "validation", "valid"), ("test",)


def pictures_of(name: str, root: str | None, split: str, *, flag: str) -> tuple[Pictures, list[str]]:
    """A split through timm's factory, and its class names in the order of their numbers; UsageError where it cannot be had."""
    try:
        with redirect_stdout(io.StringIO()):  # what readers say on the side
            found = create_dataset(name, root=root, split=split, search_split=False)
    except ImportError as error:
        raise UsageError(f"{flag}: needs a package that is not installed ({one_line(error, 160)})") from None
    except Exception as error:
        raise UsageError(
            f"{flag}: the images cannot be had ({type(error).__name__}: {one_line(error, 160)}); is there a network, and is the name right?"
        ) from None
    reader = found.reader

    def opened(at: int) -> Any:
        stream, _ = reader[at]
        with stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on EXIF data and palettes: what matters is whether the pixels can be read
            return Image.open(stream).convert("RGB")

    def called(at: int) -> str:
        try:
            return str(reader.filename(at))
        except (NotImplementedError, AttributeError, KeyError, TypeError, AssertionError):
            return f"image {at} of {split}"

    labels = torch.tensor(_labels(reader), dtype=torch.int64)
    classes = getattr(reader, "class_to_idx", None) or getattr(reader, "class_name_to_idx", None) or {}
    names = sorted(classes, key=lambda one: classes[one]) or [str(number) for number in range(int(labels.max()) + 1)]
    return Pictures(opened=opened, called=called, indices=range(len(labels)), labels=labels), names


def _labels(reader: Any) -> list[int]:
    """Every image's class, without opening the images."""
    if hasattr(reader, "targets"):  # archives
        return [int(target) for target in reader.targets]
    if hasattr(reader, "samples"):  # folders
        return [int(sample[1]) for sample in reader.samples]
    return [int(value) for value in reader.dataset[reader.label_key]]  # the hub's tables


def folders(argument: str, *, flag: str, classes: int | None = None, test_alone: bool = False) -> Splits:
    """The splits of a folder with train/ and val/ or test/ below it, each a folder (or a .tar) of one folder per class.

    With train, val and test all three are taken as they are; with train and one of the others, select is carved from
    train. `test_alone`: the training images may be missing.
    """
    root = Path(argument)
    if not argument or not root.is_dir():
        raise UsageError(f"{flag}: {argument or 'an empty path'} is not a folder; give the one that holds train/ and val/")
    train, validation, test = (_place(root, names) for names in (TRAIN, VALIDATION, TEST))
    last = test or validation
    if last is None and train is None and test_alone and any(path.is_dir() for path in root.iterdir()):
        last = root
    if last is None:
        raise UsageError(f"{flag}: {root} has neither val/ nor test/ below it; it has {_some(root)}")
    if train is None and not test_alone:
        raise UsageError(f"{flag}: {root} has no train/ below it; it has {_some(root)}")
    tested, names = _checked(last, flag, classes)
    if train is None:
        return splits_of(None, None, tested, len(names), "test alone")
    trained, known = _checked(train, flag, classes)
    if known != names:
        only = [
            f"{name} in {place.name}/ alone"
            for place, here, other in ((train, known, names), (last, names, known))
            for name in sorted(set(here) - set(other))
        ]
        raise UsageError(
            f"{flag}: {train.name}/ and {last.name}/ differ in their classes: {', '.join(only[:3])}{' ...' if len(only) > 3 else ''}"
        )
    if test and validation:
        selected, others = _checked(validation, flag, classes)
        if others != names:
            raise UsageError(f"{flag}: {validation.name}/ and {last.name}/ differ in their classes")
        return splits_of(trained, selected, tested, len(names), "as in the folder")
    return carved(trained, tested, len(names))


def carved(train: Pictures, test: Pictures, classes: int) -> Splits:
    """Splits of a source that has two: select is carved from train."""
    kept, selected, how = carve(train)
    return splits_of(kept, selected, test, classes, how)


def _place(root: Path, names: tuple[str, ...]) -> Path | None:
    for name in names:
        for path in (root / name, root / f"{name}.tar"):
            if path.exists():
                return path
    return None


def _checked(place: Path, flag: str, classes: int | None) -> tuple[Pictures, list[str]]:
    """One split; UsageError where it has no class folders or not as many as expected."""
    if place.is_dir() and not any(path.suffix == ".tar" for path in place.iterdir()):
        below = sorted(path.name for path in place.iterdir() if path.is_dir())
        if not below:
            raise UsageError(
                f"{flag}: {place} is flat: its images lie in it without a folder per class; sort them into one folder per class"
            )
        if classes is not None and len(below) != classes:
            raise UsageError(f"{flag}: {place} has {len(below)} class folders; {classes} were expected, one per class")
    found, names = pictures_of("", str(place), place.name, flag=flag)
    if classes is not None and len(names) != classes:
        raise UsageError(f"{flag}: {place} has images of {len(names)} classes; {classes} were expected")
    return found, names


def splits_of(train: Pictures | None, select: Pictures | None, test: Pictures, classes: int, how: str) -> Splits:
    """Splits of images on disk; small ones of one size are read into memory."""
    sizes = [len(part) if part else 0 for part in (train, select, test)]
    name = f"{how}, {'/'.join(map(str, sizes))}"
    if train is not None and select is not None and _small(train):
        return held(name, (_in_memory(part) for part in (train, select, test)), classes)
    mean, std = IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
    return Splits(name=name, train=train, select=select, test=test, num_classes=classes, mean=mean, std=std)


def _small(part: Pictures) -> bool:
    """Whether the first readable image is small and square, and all of them would fit."""
    for at in range(min(20, len(part))):
        try:
            width, height = part.read(at).size
        except Exception:
            continue
        return width == height <= SMALL and 3 * width * height * len(part) <= FITS
    return False


def _in_memory(part: Pictures) -> Split:
    """All images of a split; UsageError where too many cannot be read, the others are left out by name."""
    import numpy as np

    from bench.training.feed import refuse_broken

    images: list[Tensor] = []
    kept: list[int] = []
    broken: list[str] = []
    for at in range(len(part)):
        try:
            images.append(torch.from_numpy(np.array(part.read(at))).permute(2, 0, 1))
            kept.append(at)
        except Exception:
            broken.append(part.name(at))
    refuse_broken(broken, len(part))
    if len(shapes := Counter(tuple(image.shape) for image in images)) > 1:
        raise UsageError(f"--data: images of several sizes ({', '.join(f'{s[2]} x {s[1]}' for s in list(shapes)[:3])}); resize them to one")
    return Split(torch.stack(images).contiguous(), part.labels[kept])


def _some(root: Path) -> str:
    names = sorted(path.name for path in root.iterdir())
    return ", ".join(names[:4]) + (" ..." if len(names) > 4 else "") if names else "nothing"
