"""Evaluate weights that somebody else trained: published ones by their tag, or a file's; with the spread over views."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench import disk
from bench.errors import UsageError
from bench.plugins import models, open_data
from bench.record import AccuracyArm
from bench.refusing import refusing
from bench.training import checkpoint as files
from bench.training.evaluate import Result, View, evaluate, neighbours
from bench.training.published import CLASSES, with_weights
from bench.training.splits import Part, Pictures, Splits, commonest


@dataclass
class Evaluated:
    """What an evaluation gave, and what stands beside it in the record."""

    result: Result
    detail: dict[str, Any]


def evaluate_weights(
    arm: AccuracyArm,
    *,
    build: Callable[..., nn.Module],
    device: torch.device,
    workers: int,
    checkpoint: Path | None = None,
    spread: bool = False,
    tell: Callable[[str], None] = lambda text: None,
    **overlay: Any,
) -> Evaluated:
    """Top-1 and top-5 of an arm's weights on its test split; `overlay` is for published ones, see `with_weights`."""
    splits: Splits = open_data(arm.data)
    if arm.weights is not None:
        model, view = with_weights(models.get(arm.model), arm.weights, **overlay)
    else:
        assert checkpoint is not None
        model, view = from_file(checkpoint, build, splits, arm.image_size)
    model.to(device).eval()
    others = read_real(arm.labels, splits.test) if arm.labels else None
    right = None if others is None else other_labels(others)

    def run(view: View) -> Result:
        return evaluate(
            model,
            splits.test,
            view,
            device=device,
            workers=workers,
            right=right,
            progress=lambda done, total: tell(f"{view.text}: {done} of {total} images"),
        )

    found = run(view)
    detail: dict[str, Any] = {"view": view.text, "unreadable": found.broken, "commonest_class": commonest(splits)}
    if others is not None:
        images = len(found.first)
        found = labelled(found, others)
        detail["without_label"] = images - len(found.first)
    if spread:
        seen = {other.text: run(other) for other in neighbours(model, view, device)}
        detail["spread"] = {text: (one if others is None else labelled(one, others)).top1 for text, one in seen.items()}
    return Evaluated(found, detail)


def from_file(path: Path, build: Callable[..., nn.Module], splits: Splits, image_size: int) -> tuple[nn.Module, View]:
    """The model with a file's weights, and how to show it images: as the file says, else timm's usual 0.875 bicubic."""
    found, says = files.weights_from(path)
    model = build()
    files.fill(model, found, where=str(path))
    usual = View(size=image_size, crop=0.875, interpolation="bicubic", mean=splits.mean, std=splits.std)
    if not says:
        return model, replace(usual, crop=1.0) if splits.in_memory else usual
    view = says["view"]
    return model, replace(usual, crop=view["crop"], interpolation=view["interpolation"], mean=tuple(view["mean"]), std=tuple(view["std"]))


def other_labels(labels: list[set[int]]) -> Callable[[Tensor, Tensor], Tensor]:
    """Which of the best classes are right by other labels, for images by their place."""

    def right(best: Tensor, places: Tensor) -> Tensor:
        return torch.tensor([[int(one) in labels[at] for one in row] for row, at in zip(best.tolist(), places.tolist(), strict=True)])

    return right


def labelled(result: Result, labels: list[set[int]]) -> Result:
    """The images that have a label at all: ReaL leaves out some."""
    assert result.places is not None
    has = torch.tensor([bool(one) for one in labels])[result.places]
    return Result(result.first[has], result.among_five[has], result.places[has], result.broken)


def read_real(spelling: str, part: Part) -> list[set[int]]:
    """ReaL's labels in the order of a folder's images: the file lists them by ImageNet's validation numbers."""
    path = Path(spelling.partition(":")[2])
    if not isinstance(part, Pictures):
        raise UsageError(f"--labels: {spelling} is for ImageNet's validation images on disk")
    needed = "a list of label lists, one for each of ILSVRC2012_val_<number>, is needed"
    with refusing(lambda words: UsageError(f"--labels: {path} cannot be read ({words}); ReaL's real.json is needed")):
        listed = json.loads(disk.read(path))
    with refusing(lambda words: UsageError(f"--labels: {path} does not belong to these images: {needed} ({words})")):
        numbers = [int(Path(part.name(at)).stem.rpartition("_")[2]) for at in range(len(part))]
        found = [{int(one) for one in listed[number - 1]} for number in numbers]
    for at, labels in enumerate(found):
        if odd := sorted(one for one in labels if not 0 <= one < CLASSES):
            raise UsageError(f"--labels: {path} has {odd[0]} for {part.name(at)}; class numbers from 0 to {CLASSES - 1} are needed")
    return found
