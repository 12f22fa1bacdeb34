"""How images are shown to weights that are evaluated, and where that view comes from.

The top-1 of a set of weights depends on the view by whole points. It comes from the first of these
that is there: the flags on the command line; what a file of ours says; timm's settings for the
published weights or the architecture; and the usual (crop 0.875, bicubic, ImageNet's mean). Images
of a fixed small size (digits, CIFAR) are shown as they are, normalised by their training split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bench.plugins import Dataset, Model
from bench.training.images.showing import IMAGENET_MEAN, IMAGENET_STD, View
from bench.training.images.splits import Splits
from bench.training.published import weights
from bench.training.weights_file import WeightsMetadata

USUAL = View(
    size=224,
    crop=0.875,
    interpolation="bicubic",
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
)
FLAGS = {
    name: f"--{name.replace('_', '-')}"
    for name in ("crop", "crop_mode", "interpolation", "mean", "std")
}


@dataclass(frozen=True)
class Shown:
    """A view, and in `whose` where it comes from.

    An empty mean or std stands for that of the training split, which need not be open yet.
    """

    view: View
    whose: str

    @property
    def key(self) -> str:
        """Text of the view for an arm: another view is another arm, wherever it comes from."""
        view = self.view
        mode = "" if view.crop_mode == "center" else f" {view.crop_mode}"
        return f"crop {view.crop!r}{mode}, {view.interpolation}, {self._normalised(repr)}"

    def _normalised(self, number: Callable[[float], str]) -> str:
        """Return mean and standard deviation in words, with numbers written by `number`."""
        if not self.view.mean and not self.view.std:
            return "normalised by the training split"
        parts = []
        for name, values in (("mean", self.view.mean), ("std", self.view.std)):
            own = " ".join(map(number, values))
            parts.append(f"{name} {own or 'of the training split'}")
        return ", ".join(parts)

    @property
    def text(self) -> str:
        """The view and its origin, for progress lines and tables."""
        return f"{self.view.text}, {self._normalised('{:.4g}'.format)} ({self.whose})"

    def of(self, splits: Splits) -> View:
        """Return the view, with the numbers of the training split where it has none."""
        return replace(
            self.view, mean=self.view.mean or splits.mean, std=self.view.std or splits.std
        )


def shown(
    entry: Model,
    dataset: Dataset,
    *,
    size: int,
    tag: str | None = None,
    says: WeightsMetadata | None = None,
    asked: Mapping[str, Any] | None = None,
) -> Shown:
    """Return how images of a data set are shown to a model with weights, at `size` pixels.

    `tag` names published weights, `says` is what a file says about its own; `asked` has the values
    of the flags in FLAGS that were given.
    """
    found = _without_flags(entry, dataset, size, tag, says)
    if not asked:
        return found
    changed: dict[str, Any] = dict(asked)
    for name in ("mean", "std"):
        if name in changed:
            values = tuple(changed[name])
            changed[name] = values * 3 if len(values) == 1 else values
    flags = " and ".join(FLAGS[name] for name in FLAGS if name in changed)
    whose = f"by {flags}" if len(changed) == len(FLAGS) else f"by {flags}, the rest {found.whose}"
    return Shown(replace(found.view, **changed), whose)


def _without_flags(
    entry: Model, dataset: Dataset, size: int, tag: str | None, says: WeightsMetadata | None
) -> Shown:
    if says is not None and (own := says.view) is not None:
        view = replace(
            USUAL,
            size=size,
            crop=own.crop,
            interpolation=own.interpolation,
            mean=own.mean,
            std=own.std,
        )
        return Shown(view, "as the file says")
    if tag is not None:
        name = weights(entry)[tag]
        return Shown(timms(name, size) or replace(USUAL, size=size), f"as timm has it for {name}")
    if dataset.image_size is not None:
        return Shown(replace(USUAL, size=size, crop=1.0, mean=(), std=()), f"as {dataset.name} is")
    architecture = timm_name(entry)
    if architecture is not None and (own_view := timms(architecture, size)) is not None:
        return Shown(own_view, f"as timm has it for {architecture}")
    return Shown(replace(USUAL, size=size), f"the usual: nothing else is known of {entry.name}")


def timm_name(entry: Model) -> str | None:
    """Return timm's name of an architecture, with the tag of the weights if the model has one."""
    return entry.name.removeprefix("timm:") if entry.name.startswith("timm:") else entry.timm_name


def timms(name: str, size: int) -> View | None:
    """Return timm's own view for a model, or None if timm has no settings for it.

    At the larger size at which timm tests some weights, this is its view for that size.
    """
    import timm
    from timm.data import resolve_data_config

    found = timm.get_pretrained_cfg(name)
    if found is None:
        return None
    own = found.to_dict()
    test_size = found.test_input_size
    at_test = test_size is not None and size == test_size[-1] != found.input_size[-1]
    settings = resolve_data_config({}, pretrained_cfg=own, use_test_size=at_test)
    return View(
        size=size,
        crop=settings["crop_pct"],
        interpolation=settings["interpolation"],
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
        crop_mode=settings["crop_mode"],
    )
