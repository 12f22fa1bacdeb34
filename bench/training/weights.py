"""Evaluate weights that were trained elsewhere: published ones by tag, or those of a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import Diverged, UsageError
from bench.files.foreign_errors import content_of, refusing
from bench.measure.messages import Chosen
from bench.measure.subject.executed import Executed
from bench.plugins import Model, dataset_of, models, open_data
from bench.record.arms import AccuracyArm
from bench.training import weights_file
from bench.training.evaluate import Result, evaluate, neighbours
from bench.training.fitting import Fitted, load_weights
from bench.training.images.showing import View
from bench.training.images.splits import Part, Pictures, commonest
from bench.training.images.views import shown
from bench.training.published import CLASSES, with_weights
from bench.training.surgery import in_size

LARGEST_LABELS = 64 << 20
"""Largest size in bytes of a file of labels."""


@dataclass
class Evaluated:
    """The outcome of an evaluation; `detail` contains further fields of its record."""

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
    """Evaluate an arm's weights on its test split; with `chosen.spread` at other views as well.

    Args:
        arm: Its `weights` is the tag of published weights; None takes `chosen.checkpoint`.
        chosen: The file of weights, its entry, the view, other views (not under a policy).
        build: Returns the model for a side of its images in pixels.
        device: Where to evaluate.
        workers: Processes that read images from disk.
        data: How to open the data set, if that differs from `arm.data`.
        tell: Receives lines of progress.
        overlay: For published weights, see `with_weights`.

    Raises UsageError, also for a file's weights whose logits are not finite; published weights
    raise Diverged then.
    """
    entry, splits = models.get(arm.model), open_data(data or arm.data)
    path = Path(chosen.checkpoint) if chosen.checkpoint else None
    says = weights_file.metadata_of(path) if path else None
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
    labels = read_real(arm.labels, splits.test) if arm.labels else None
    executed = _executed(model.to(device).eval(), arm, device, data or arm.data, view)
    evaluation = Evaluation(executed, splits.test, labels, device, workers, tell)
    found, without_label = evaluation.at(view, path)
    detail: dict[str, Any] = {
        "view": view.text,
        "shown": how.text,
        "unreadable": found.broken,
        "commonest_class": commonest(splits),
        **read,
    }
    if labels is not None:
        detail["without_label"] = without_label
    if chosen.spread and arm.policy is None:
        detail["spread"] = evaluation.spread(view)
    return Evaluated(found, detail)


def _executed(
    model: nn.Module, arm: AccuracyArm, device: torch.device, data: str, view: View
) -> Callable[[Tensor], Any]:
    """Return a model as its arm executes it."""
    if arm.policy is None:
        return model
    pictures = {"data": data, "view": view, "model_name": arm.model}
    return Executed(model, arm.policy, device, arm.num_classes, **pictures)


@dataclass(frozen=True)
class Evaluation:
    """A model with weights, and the images to evaluate it on; `labels` replace the split's own."""

    model: Callable[[Tensor], Any]
    part: Part
    labels: list[set[int]] | None
    device: torch.device
    workers: int
    tell: Callable[[str], None]

    def at(self, view: View, path: Path | None = None) -> tuple[Result, int]:
        """Return the result at a view, and how many images were left out for want of a label.

        Where the weights come from the file `path`, Diverged becomes a UsageError that names it.
        """
        try:
            found = evaluate(
                self.model,
                self.part,
                view,
                device=self.device,
                workers=self.workers,
                right=None if self.labels is None else other_labels(self.labels),
                progress=lambda done, total: self.tell(f"{view.text}: {done} of {total} images"),
            )
        except Diverged as error:
            if path is None:
                raise
            raise UsageError(f"--checkpoint: {path}: {error}") from None
        if self.labels is None:
            return found, 0
        rest = labelled(found, self.labels)
        return rest, len(found.first) - len(rest.first)

    def spread(self, view: View) -> dict[str, float]:
        """Return the top-1 at neighbouring views, by their text."""
        found = {}
        for other in neighbours(self.model, view, self.device):
            result, _ = self.at(other)
            found[other.text] = result.top1
        return found


def published(entry: Model, arm: AccuracyArm, **overlay: Any) -> tuple[nn.Module, dict[str, Any]]:
    """Return the model with published weights at the arm's image size, and fields of its record."""
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
    """Return the model at an image size with a file's weights, and fields of its record.

    Weights that only fit the model at its `own` size are resampled, as published ones are. `key` is
    the value of --checkpoint-key. Raises UsageError if the weights do not fit.
    """
    entry, prefix = split_key(key)
    weights = weights_file.weights_from(path, entry)
    model = build(size)
    try:
        return model, _read(
            weights, load_weights(model, weights.tensors, where=str(path), prefix=prefix)
        )
    except UsageError:
        if own in (None, size) or not tied(build, size, own):
            raise
    model = build(own)
    read = _read(weights, load_weights(model, weights.tensors, where=str(path), prefix=prefix))
    try:
        model, how = resized(model, build, size, own=own, name=str(path))
    except NotImplementedError as error:
        raise UsageError(f"--image-size: {error}; use {own}") from None
    return model, read | how


def split_key(key: str | None) -> tuple[str | None, str | None]:
    """Return entry and prefix of a --checkpoint-key; None for one that it does not name.

    Spellings are `state_dict`, `state_dict/teacher.` and `/teacher.`.
    """
    entry, slash, prefix = (key or "").partition("/")
    return entry or None, prefix if slash else None


def _read(weights: weights_file.Weights, fitted: Fitted) -> dict[str, Any]:
    """Return the record's account of a file: what was taken, removed from names, and left out."""
    stored_as = set()
    for tensor in fitted.tensors.values():
        if tensor.is_floating_point():
            stored_as.add(str(tensor.dtype).removeprefix("torch."))
    account = {
        "entry": weights.entry,
        "other_entries": list(weights.others),
        "removed": list(fitted.removed),
        "left_out": list(fitted.left_out),
        "stored_as": sorted(stored_as),
    }
    return {"file": account}


def tied(build: Callable[[int], nn.Module], size: int, own: int) -> bool:
    """True if the model's tensors have other shapes at another image size."""
    here, there = build(size).state_dict(), build(own).state_dict()
    return any(here[name].shape != there[name].shape for name in here.keys() & there.keys())


def resized(
    model: nn.Module, build: Callable[[int], nn.Module], size: int, *, own: int, name: str
) -> tuple[nn.Module, dict[str, Any]]:
    """Return the model's weights in one of another image size, and fields of its record.

    Raises NotImplementedError if the model is tied to its `own` size.
    """
    other = in_size(model.state_dict(), build, size, name=name)
    return other.eval(), {"resampled_from": own} if tied(build, size, own) else {}


def other_labels(labels: list[set[int]]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a `right` for `evaluate` that accepts any of an image's `labels`."""

    def right(best: Tensor, places: Tensor) -> Tensor:
        rows = []
        for classes, place in zip(best.tolist(), places.tolist(), strict=True):
            rows.append([number in labels[place] for number in classes])
        return torch.tensor(rows, dtype=torch.bool)

    return right


def labelled(result: Result, labels: list[set[int]]) -> Result:
    """Return the images that have any label: ReaL gives none to some."""
    assert result.places is not None
    has = torch.tensor(list(map(bool, labels)))[result.places]
    return Result(result.first[has], result.among_five[has], result.places[has], result.broken)


def read_real(spelling: str, part: Part) -> list[set[int]]:
    """Return ReaL's labels in the order of a split's images.

    `spelling` is the value of --labels, `real:PATH`; the file lists the labels by the numbers in
    ImageNet's own names of its validation images. Raises UsageError if the file cannot be read or
    is not about these images.
    """
    path = Path(spelling.partition(":")[2])
    if not isinstance(part, Pictures):
        raise UsageError(f"--labels: {spelling} is for ImageNet's validation images on disk")

    def unreadable(words: str) -> UsageError:
        return UsageError(f"--labels: {path} cannot be read ({words}); use ReaL's real.json")

    def misfit(words: str) -> UsageError:
        return UsageError(
            f"--labels: {path} does not match these images ({words}); it must contain a list of "
            "labels for each of ILSVRC2012_val_<number>"
        )

    content = content_of(path, LARGEST_LABELS, unreadable)
    with refusing(unreadable):
        listed = json.loads(content)
    names = list(map(part.name, range(len(part))))
    found = []
    with refusing(misfit):
        for name in names:
            number = int(Path(name).stem.rpartition("_")[2])
            found.append(set(map(int, listed[number - 1])))
    known = set(range(CLASSES))
    for name, labels in zip(names, found, strict=True):
        if odd := sorted(labels - known):
            raise UsageError(
                f"--labels: {path} has class {odd[0]} for {name}; use numbers from 0 to "
                f"{CLASSES - 1}"
            )
    return found
