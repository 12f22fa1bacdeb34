"""Evaluate weights that somebody else trained: published ones by their tag, or a file's; with the spread over views."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import Diverged, UsageError
from bench.files import files
from bench.files.foreign_errors import refusing
from bench.measure.messages import Chosen
from bench.plugins import Model, dataset_of, models, open_data
from bench.record.arms import AccuracyArm
from bench.training import weights_file
from bench.training.evaluate import Result, View, evaluate, neighbours
from bench.training.fitting import Fitted, fill
from bench.training.images.splits import Part, Pictures, commonest
from bench.training.images.views import shown
from bench.training.published import CLASSES, with_weights
from bench.training.surgery import in_size


@dataclass
class Evaluated:
    """What an evaluation gave, and what stands beside it in the record."""

    result: Result
    detail: dict[str, Any]


def evaluate_weights(
    arm: AccuracyArm,
    chosen: Chosen,
    *,
    build: Callable[[int], nn.Module],
    device: torch.device,
    workers: int,
    data: str | None = None,
    tell: Callable[[str], None] = lambda text: None,
    **overlay: Any,
) -> Evaluated:
    """Top-1 and top-5 of an arm's weights on its test split, opened as `data` where that is not its name.

    `overlay` is for published ones, see `with_weights`.
    """
    entry, splits = models.get(arm.model), open_data(data or arm.data)
    path = Path(chosen.checkpoint) if chosen.checkpoint else None
    says = weights_file.says_of(path) if path else None
    how = shown(
        entry,
        dataset_of(arm.data)[0],
        size=arm.image_size,
        tag=arm.weights,
        says=says,
        asked=chosen.view,
    )
    view = how.of(splits)
    if arm.weights is not None:
        model, read = published(entry, arm, **overlay)
    else:
        assert path is not None and says is not None
        own = says.image_size or entry.image_size
        model, read = from_file(path, build, arm.image_size, own=own, key=chosen.key)
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

    try:
        found = run(view)
    except Diverged as error:
        if path is None:
            raise
        raise UsageError(f"--checkpoint: {path}: {error}") from None
    detail: dict[str, Any] = {
        "view": view.text,
        "shown": how.text,
        "unreadable": found.broken,
        "commonest_class": commonest(splits),
        **read,
    }
    if others is not None:
        images = len(found.first)
        found = labelled(found, others)
        detail["without_label"] = images - len(found.first)
    if chosen.spread:
        seen = {other.text: run(other) for other in neighbours(model, view, device)}
        detail["spread"] = {
            text: (one if others is None else labelled(one, others)).top1
            for text, one in seen.items()
        }
    return Evaluated(found, detail)


def published(entry: Model, arm: AccuracyArm, **overlay: Any) -> tuple[nn.Module, dict[str, Any]]:
    """The model with published weights at the arm's image size, and what the record says of that."""
    assert arm.weights is not None
    model = with_weights(entry, arm.weights, **overlay)
    if arm.image_size == entry.image_size:
        return model, {}

    def build(size: int) -> nn.Module:
        return entry.build(image_size=size, num_classes=arm.num_classes)

    return resized(model, build, arm.image_size, own=entry.image_size, name=entry.name)


def from_file(
    path: Path,
    build: Callable[[int], nn.Module],
    size: int,
    *,
    own: int | None = None,
    key: str | None = None,
) -> tuple[nn.Module, dict[str, Any]]:
    """The model at an image size with a file's weights, and what the record says of them. UsageError where they do not fit.

    A file that fits the model at its `own` size alone is resampled, as published weights are.
    """
    entry, prefix = split_key(key)
    weights = weights_file.weights_from(path, entry)
    model = build(size)
    try:
        return model, _read(weights, fill(model, weights.tensors, where=str(path), prefix=prefix))
    except UsageError:
        if own in (None, size) or not tied(build, size, own):
            raise
    model = build(own)
    read = _read(weights, fill(model, weights.tensors, where=str(path), prefix=prefix))
    try:
        model, how = resized(model, build, size, own=own, name=str(path))
    except NotImplementedError as error:
        raise UsageError(f"--image-size: {error}; {own} would work") from None
    return model, read | how


def split_key(key: str | None) -> tuple[str | None, str | None]:
    """The entry and the prefix of `--checkpoint-key`: `state_dict`, `state_dict/teacher.`, `/teacher.`."""
    entry, slash, prefix = (key or "").partition("/")
    return entry or None, prefix if slash else None


def _read(weights: weights_file.Weights, fitted: Fitted) -> dict[str, Any]:
    """What was taken of a file, for the record: its entry, what was removed from the names, what was left or is not there."""
    says: dict[str, Any] = {"entry": weights.entry, "other_entries": list(weights.others)}
    says |= {"removed": list(fitted.removed), "left_out": list(fitted.left_out)}
    kinds = {
        str(tensor.dtype).removeprefix("torch.")
        for tensor in fitted.tensors.values()
        if tensor.is_floating_point()
    }
    return {"file": says | {"stored_as": sorted(kinds)}}


def tied(build: Callable[[int], nn.Module], size: int, own: int) -> bool:
    """Whether a model has other shapes at another image size."""
    one, other = (build(side).state_dict() for side in (size, own))
    return any(one[name].shape != other[name].shape for name in one.keys() & other.keys())


def resized(
    model: nn.Module, build: Callable[[int], nn.Module], size: int, *, own: int, name: str
) -> tuple[nn.Module, dict[str, Any]]:
    """The model's weights in one for another image size; NotImplementedError where it is tied to its own."""
    found = in_size(model.state_dict(), build, size, name=name)
    return found.eval(), {"resampled_from": own} if tied(build, size, own) else {}


def other_labels(labels: list[set[int]]) -> Callable[[Tensor, Tensor], Tensor]:
    """Which of the best classes are right by other labels, for images by their place."""

    def right(best: Tensor, places: Tensor) -> Tensor:
        return torch.tensor(
            [
                [int(one) in labels[at] for one in row]
                for row, at in zip(best.tolist(), places.tolist(), strict=True)
            ]
        )

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
    with refusing(
        lambda words: UsageError(
            f"--labels: {path} cannot be read ({words}); ReaL's real.json is needed"
        )
    ):
        listed = json.loads(files.read(path))
    with refusing(
        lambda words: UsageError(
            f"--labels: {path} does not belong to these images: {needed} ({words})"
        )
    ):
        numbers = [int(Path(part.name(at)).stem.rpartition("_")[2]) for at in range(len(part))]
        found = [{int(one) for one in listed[number - 1]} for number in numbers]
    for at, labels in enumerate(found):
        if odd := sorted(one for one in labels if not 0 <= one < CLASSES):
            raise UsageError(
                f"--labels: {path} has {odd[0]} for {part.name(at)}; class numbers from 0 to {CLASSES - 1} are needed"
            )
    return found
