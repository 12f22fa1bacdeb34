"""Published accuracies and speeds, one row per weight set: reference rows, never our measurements.

The tables that come with the project are of ImageNet-1k. Their column `macs_G` is not read: it has
timm's figures, which leave out ConvMixer's depthwise convolutions, and counts are our own
(docs/METHOD.md).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import filterfalse
from operator import attrgetter
from pathlib import Path

TABLE = Path(__file__).parent / "published_accuracy.csv"
SPEEDS = Path(__file__).parent / "published_throughput.csv"
LEFT_OUT = ("TRAIN", "RTX4090 ")
"""How devices of left-out speeds begin: those of training, and the headline setting, which repeats
one of the others."""
IMAGENET = "imagenet"
DATASETS = {
    IMAGENET: "ImageNet-1k",
    "imagenet-real": "ImageNet-1k, reassessed labels",
    "imagenet-v2": "ImageNetV2, matched frequency",
    "imagenet-a": "ImageNet-A (200 classes)",
    "imagenet-a-clean": "ImageNet-1k, the 200 classes of ImageNet-A",
    "imagenet-r": "ImageNet-R (200 classes)",
    "imagenet-r-clean": "ImageNet-1k, the 200 classes of ImageNet-R",
    "imagenet-sketch": "ImageNet-Sketch",
    "": "a data set that its file does not name",
}
"""Titles of test sets for ImageNet's classes, by the name that `bench import --dataset` takes."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published weight set. `top1` is a share, `image_size` in pixels.

    `epochs` is None if the source does not say. `more_data` is True for training data beyond
    ImageNet-1k, `teacher` for distillation.
    """

    architecture: str
    tag: str
    image_size: int
    top1: float
    epochs: int | None
    more_data: bool
    teacher: bool
    source: str
    dataset: str = IMAGENET
    """The test set: a name of `DATASETS` or a user's own; empty if unknown."""

    @property
    def plain(self) -> bool:
        """True if trained on ImageNet-1k only, without a teacher."""
        return not self.more_data and not self.teacher

    @property
    def on_imagenet(self) -> bool:
        """True if tested on ImageNet-1k."""
        return self.dataset == IMAGENET

    @property
    def weight_set(self) -> tuple[str, str, int]:
        """What tells weight sets apart: architecture, tag and image size."""
        return (self.architecture, self.tag, self.image_size)


@cache
def rows() -> tuple[Published, ...]:
    """Return every row of the project's table whose timm architecture is known."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        return tuple(_row(line) for line in csv.DictReader(file) if line["timm_name"])


def _row(line: dict[str, str]) -> Published:
    architecture, _, tag = line["timm_name"].partition(".")
    return Published(
        architecture=architecture,
        tag=tag,
        image_size=int(line["image_size"]),
        top1=float(line["top1"]) / 100,
        epochs=int(line["epochs"]) if line["epochs"] else None,
        more_data=line["extra_data"] == "yes",
        teacher=line["teacher"] == "yes",
        source=line["source"],
    )


def of(
    timm_name: str | None, image_size: int, imported: Sequence[Published] = ()
) -> list[Published]:
    """Return the ImageNet-1k rows of one architecture at one image size, best first.

    Imported rows are included, except those of weight sets in the project's table.
    """
    known = set(map(attrgetter("weight_set"), rows()))
    new = [row for row in imported if row.on_imagenet and row.weight_set not in known]
    return _of_architecture((*rows(), *new), timm_name, image_size)


def comparable(
    timm_name: str | None, image_size: int, imported: Sequence[Published] = ()
) -> list[Published]:
    """Return the rows of `of` that stand beside measured values, best first.

    Those are of weight sets trained on ImageNet-1k alone; without any, the others.
    """
    found = of(timm_name, image_size, imported)
    return list(filter(attrgetter("plain"), found)) or found


def elsewhere(
    timm_name: str | None, image_size: int, imported: Sequence[Published]
) -> list[Published]:
    """Return the imported rows of one architecture on other data than ImageNet-1k, best first."""
    other_data = filterfalse(attrgetter("on_imagenet"), imported)
    return _of_architecture(other_data, timm_name, image_size)


def _of_architecture(
    every: Iterable[Published], timm_name: str | None, image_size: int
) -> list[Published]:
    wanted = (timm_name, image_size)
    found = [row for row in every if (row.architecture, row.image_size) == wanted]
    return sorted(found, key=lambda row: -row.top1)


def tag_to_evaluate(timm_name: str | None) -> str | None:
    """Return a weight tag to propose in a command, or None.

    Tags of weights trained on ImageNet-1k only come first.
    """
    found = [row for row in rows() if row.architecture == timm_name and row.tag]
    found.sort(key=lambda row: (row.more_data, row.teacher, -row.top1))
    return found[0].tag if found else None


@dataclass(frozen=True)
class PublishedSpeed:
    """A published throughput of one architecture, and the setting as timm's files spell it."""

    architecture: str
    images_per_s: float
    setting: str
    image_size: int
    source: str

    @property
    def bare_setting(self) -> str:
        """The setting with whole numbers as imported files spell them: `bs1024`, not `bs1024.0`."""
        return self.setting.replace(".0 ", " ")


@cache
def speeds() -> tuple[PublishedSpeed, ...]:
    """Return every inference speed of the project's table."""
    found = []
    with SPEEDS.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            if line["timm_name"] and not line["throughput_device"].startswith(LEFT_OUT):
                found.append(_speed(line))
    return tuple(found)


def _speed(line: dict[str, str]) -> PublishedSpeed:
    return PublishedSpeed(
        architecture=line["timm_name"].partition(".")[0],
        images_per_s=float(line["throughput_img_s"]),
        setting=f"{line['throughput_device']} {line['image_size']} px",
        image_size=int(line["image_size"]),
        source=line["source"],
    )


def with_more_speeds(imported: Sequence[PublishedSpeed]) -> list[PublishedSpeed]:
    """Return the table's inference speeds and the imported ones that do not repeat one of them."""
    known = {(speed.architecture, speed.bare_setting) for speed in speeds()}
    new = [speed for speed in imported if (speed.architecture, speed.setting) not in known]
    return [*speeds(), *new]


@dataclass(frozen=True)
class Imported:
    """Reference rows that a user added with `bench import`."""

    accuracies: list[Published] = field(default_factory=list)
    speeds: list[PublishedSpeed] = field(default_factory=list)
    """Speeds of inference."""
    trainings: list[PublishedSpeed] = field(default_factory=list)
    """Speeds of training."""
    problems: list[str] = field(default_factory=list)
    """Files and rows that could not be read, one line each."""


def factors_of(setting: str) -> dict[str, str]:
    """Return the parts of a setting such as `amp-nhwc-pt240-cu124-rtx3090 bs1024 224 px`."""
    spelled, batch, size, _ = setting.split(" ")
    parts = spelled.split("-")
    compiled = parts[-1] == "dynamo"
    device = "-".join(parts[4 if parts[3].startswith("cu") else 3 : -1 if compiled else None])
    return {
        "machine": device.removeprefix("cpu-").removeprefix("rtx"),
        "precision": parts[0],
        "layout": parts[1],
        "execution": "compiled" if compiled else "eager",
        "torch": parts[2],
        "batch": batch.removeprefix("bs").removesuffix(".0"),
        "px": size,
    }
