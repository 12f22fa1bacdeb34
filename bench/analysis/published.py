"""Accuracies and speeds as published, one row per weight set: reference rows, never measurements of ours.

The tables that come with the project are of ImageNet-1k. Their column `macs_G` is as timm gives it, without ConvMixer's
depthwise convolutions, and not read; counts are our own (docs/METHOD.md).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

TABLE = Path(__file__).parent / "published_accuracy.csv"
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
    "": "a data set that its file does not say",
}
"""Test sets for ImageNet's classes by the name that `bench import --dataset` takes, and how they are shown."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """One weight set: top-1 as a share, image size in pixels, `epochs` where the source says."""

    architecture: str
    tag: str
    image_size: int
    top1: float
    epochs: int | None
    more_data: bool
    teacher: bool
    source: str
    dataset: str = IMAGENET
    """What it was tested on: a name of `DATASETS` or of somebody's own; empty where nothing says it."""

    @property
    def plain(self) -> bool:
        """Whether it was trained on ImageNet-1k alone, without a teacher."""
        return not self.more_data and not self.teacher


@cache
def rows() -> tuple[Published, ...]:
    """Every published row whose timm architecture is known."""
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


def of(timm_name: str | None, image_size: int, more: Sequence[Published] = ()) -> list[Published]:
    """The ImageNet-1k rows of one architecture at one image size, best first.

    `more` are imported ones: those of other data sets are left out, and known tags are repetitions.
    """
    known = {(row.architecture, row.tag, row.image_size) for row in rows()}
    new = [
        row
        for row in more
        if row.dataset == IMAGENET and (row.architecture, row.tag, row.image_size) not in known
    ]
    found = [
        row
        for row in (*rows(), *new)
        if row.architecture == timm_name and row.image_size == image_size
    ]
    return sorted(found, key=lambda row: -row.top1)


def elsewhere(
    timm_name: str | None, image_size: int, imported: Sequence[Published]
) -> list[Published]:
    """The imported rows of one architecture at one image size that were tested on other data than ImageNet-1k, best first."""
    found = [
        row
        for row in imported
        if row.dataset != IMAGENET
        and row.architecture == timm_name
        and row.image_size == image_size
    ]
    return sorted(found, key=lambda row: -row.top1)


def tag_to_evaluate(timm_name: str | None) -> str | None:
    """A weight tag to propose in a command: trained on ImageNet-1k alone where there is one, else any."""
    found = [row for row in rows() if row.architecture == timm_name and row.tag]
    found.sort(key=lambda row: (row.more_data, row.teacher, -row.top1))
    return found[0].tag if found else None


SPEEDS = Path(__file__).parent / "published_throughput.csv"


@dataclass(frozen=True)
class Speed:
    """Images per second of an architecture as timm published it, and the setting as its files spell it."""

    architecture: str
    images_per_s: float
    setting: str
    image_size: int
    source: str


@cache
def speeds() -> tuple[Speed, ...]:
    """Every published inference speed. Training speeds are left out, and the headline setting that repeats one of the others."""
    with SPEEDS.open(newline="", encoding="utf-8") as file:
        rows = [
            line
            for line in csv.DictReader(file)
            if line["timm_name"] and not line["throughput_device"].startswith(("TRAIN", "RTX4090 "))
        ]
    return tuple(
        Speed(
            architecture=line["timm_name"].partition(".")[0],
            images_per_s=float(line["throughput_img_s"]),
            setting=f"{line['throughput_device']} {line['image_size']} px",
            image_size=int(line["image_size"]),
            source=line["source"],
        )
        for line in rows
    )


def with_more_speeds(imported: Sequence[Speed]) -> list[Speed]:
    """Every published inference speed and the imported ones; those of a known architecture and setting are repetitions."""
    known = {(one.architecture, one.setting.replace(".0 ", " ")) for one in speeds()}
    return [*speeds(), *(one for one in imported if (one.architecture, one.setting) not in known)]


@dataclass(frozen=True)
class Imported:
    """Reference rows that somebody put beside these results."""

    accuracies: list[Published] = field(default_factory=list)
    speeds: list[Speed] = field(default_factory=list)
    """Of inference."""
    trainings: list[Speed] = field(default_factory=list)
    """Of training."""
    problems: list[str] = field(default_factory=list)
    """Files and rows that could not be read, a line each."""


def factors_of(setting: str) -> dict[str, str]:
    """What a setting such as `amp-nhwc-pt240-cu124-rtx3090 bs1024 224 px` consists of."""
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
