"""Small image folders made of real images (scikit-learn's digits), as JPEG."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from PIL import Image
from timm.data import ImageNetInfo

from bench.plugins import datasets
from bench.training.images.splits import Splits

DIGITS: Splits = datasets.get("digits").open("")


def picture(at: int, side: int) -> Image.Image:
    """One digit, enlarged."""
    array = DIGITS.train.images[at % len(DIGITS.train)].permute(1, 2, 0).numpy()
    return Image.fromarray(array).resize((side, side), Image.Resampling.BICUBIC)


def make_folder(root: Path, parts: dict[str, int], *, classes: int = 10, side: int = 96) -> Path:
    """Write a folder of images of digits, one subfolder per class: c0, c1 and so on.

    `parts` maps the name of a split to its images per class.
    """
    by_class: dict[int, list[int]] = {number: [] for number in range(10)}
    for at, label in enumerate(DIGITS.train.labels.tolist()):
        by_class[label].append(at)
    for part, images in parts.items():
        for number in range(classes):
            folder = root / part / f"c{number:04d}"
            folder.mkdir(parents=True)
            for place in range(images):
                picture(by_class[number % 10][place], side).save(
                    folder / f"{part}_{place:05d}.jpg", quality=95
                )
    return root


class Named:
    """A source whose images cannot be read, for tests of the messages.

    `{}` in the name stands for an image's index.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def read(self, at: int) -> Any:
        raise OSError("nothing is there")

    def name(self, at: int) -> str:
        return self._name.format(at)


def make_imagenet(root: Path, *, side: int = 40) -> Path:
    """Write ImageNet's validation folder, with one digit for each of its thousand WordNet ids.

    The last class's image has number 1.
    """
    synsets = ImageNetInfo("imagenet-1k").label_names()
    for number, synset in enumerate(synsets):
        folder = root / "val" / synset
        folder.mkdir(parents=True)
        picture(number, side).save(
            folder / f"ILSVRC2012_val_{len(synsets) - number:08d}.JPEG", quality=95
        )
    return root


def make_varied(
    root: Path, parts: dict[str, int], *, classes: int = 3, shortest: int = 64, longest: int = 500
) -> Path:
    """Write a folder like `make_folder`, but with images of different sizes, as photographs are.

    Each side has a length between `shortest` and `longest` pixels.
    """
    draw = random.Random(0)
    for path in sorted(make_folder(root, parts, classes=classes, side=longest).rglob("*.jpg")):
        with Image.open(path) as image:
            image.resize((draw.randint(shortest, longest), draw.randint(shortest, longest))).save(
                path, quality=90
            )
    return root
