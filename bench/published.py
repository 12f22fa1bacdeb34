"""ImageNet-1k accuracies as published, one row per weight set: reference rows, never measurements of ours."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLE = Path(__file__).parent / "published_accuracy.csv"


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


def of(timm_name: str | None, image_size: int) -> list[Published]:
    """The rows of one architecture at one image size, best first."""
    found = [row for row in rows() if row.architecture == timm_name and row.image_size == image_size]
    return sorted(found, key=lambda row: -row.top1)


def tag_to_evaluate(timm_name: str | None) -> str | None:
    """A weight tag to propose in a command: trained on ImageNet-1k alone where there is one, else any."""
    found = [row for row in rows() if row.architecture == timm_name and row.tag]
    found.sort(key=lambda row: (row.more_data, row.teacher, -row.top1))
    return found[0].tag if found else None
