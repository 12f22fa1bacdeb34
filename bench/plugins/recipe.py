"""Recipes: every hyperparameter of a training run, as one named, frozen, hashed object.

All families get the same recipe. Its hash is part of an accuracy record's key, so rows with
different recipes are never merged. Standard library only.

A recipe with changed fields is spelled `NAME:field=value:field=value`. That is its name wherever it
is shown, and its hash differs.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from bench.errors import UsageError
from bench.plugins.registry import Registry

Corners = tuple[tuple[float, float], ...]
LATER: dict[str, Any] = {"data_share": 1.0, "decay_vectors": False}
"""Fields that the first recorded recipes did not have, with the values that they then had."""
LABELS = ("name", "summary", "source")
"""Fields that do not change the training."""
# The ConvMixer authors' schedule (locuslab/convmixer, train.py): the rate rises over two fifths of
# the steps, falls to a twentieth at four fifths, then to zero.
TRIANGULAR: Corners = ((0.0, 0.0), (0.4, 1.0), (0.8, 0.05), (1.0, 0.0))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train any model.

    Batch sizes are in images, angles in degrees, shifts and crops in shares of the image.

    Raises UsageError if a value is out of range.
    """

    name: str
    summary: str = ""
    source: str = ""
    """Where the values come from."""

    epochs: float
    batch_size: int
    """Images per optimizer step, over all devices."""
    micro_batch: int
    """Images in one batch norm; `batch_size` is a multiple of it, for any number of devices."""
    optimizer: str = "adamw"
    """The optimizer's name in `timm.optim`."""
    learning_rate: float
    weight_decay: float
    """Not applied to biases, norms and other vectors (timm's rule) without `decay_vectors`."""
    decay_vectors: bool = False
    """True to apply weight decay to every parameter, as PyTorch's optimizers do by themselves."""
    epsilon: float = 1e-8
    clip_norm: float | None = None
    """Largest norm of the gradient; None for no clipping."""
    schedule: Corners
    """Corners (share of all steps, share of `learning_rate`), applied at every step."""
    decay: Literal["linear", "cosine"] = "linear"
    """How the rate falls between two corners; it always rises linearly."""

    loss: Literal["cross_entropy", "binary_cross_entropy"] = "cross_entropy"
    label_smoothing: float = 0.0
    mixup: float = 0.0
    """Alpha of mixup's beta distribution; 0 for none."""
    cutmix: float = 0.0
    mix_switch: float = 0.5
    """The share of micro-batches that get cutmix if both are on."""
    drop_path: float = 0.0
    """Stochastic depth: the rate of the last residual branch; it grows linearly from 0."""
    ema_decay: float | None = None
    """Decay of an exponential moving average of the weights, which is then evaluated; None to
    evaluate the last weights."""

    data_share: float = 1.0
    """Share of the training images that is used, the same ones for every model and seed. An epoch
    has as many steps as with all images."""
    image_size: int | None = None
    """Side of the training images in pixels; None for the model's own."""
    crop_scale: tuple[float, float] = (1.0, 1.0)
    """Range of the share of the area that a random crop keeps."""
    crop_ratio: tuple[float, float] = (1.0, 1.0)
    """Range of the width over the height of that crop."""
    interpolation: Literal["random", "bilinear", "bicubic"] = "random"
    """Interpolation of training images that are resized on the host."""
    flip: float = 0.0
    """Probability of a horizontal flip."""
    rand_augment: str | None = None
    """timm's spelling, such as `rand-m9-n2-mstd0.5-inc1`, or `ra-n2-m12` for torchvision's."""
    jitter: float = 0.0
    """Brightness, contrast and saturation are multiplied by 1 +- jitter at most."""
    erase: float = 0.0
    """Probability that a rectangle is replaced by noise."""
    rotate: float = 0.0
    shift: float = 0.0
    scale: float = 0.0
    """Random rotation by at most +-rotate, shift by +-shift, size by 1 +- scale, per image."""

    eval_crop: float = 1.0
    """Share of the side that evaluation keeps, at the model's size."""
    eval_interpolation: Literal["bilinear", "bicubic"] = "bicubic"

    def __post_init__(self) -> None:
        # 25 and 25.0 are one recipe and must have one hash.
        object.__setattr__(self, "epochs", float(self.epochs))
        shares = [share for share, _ in self.schedule]
        assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1, (
            "a schedule runs from 0 to 1"
        )
        for name in ("epochs", "batch_size", "micro_batch", "learning_rate", "eval_crop"):
            if not getattr(self, name) > 0:
                raise UsageError(
                    f"--recipe: {self.name}: {name} must be above 0, got {getattr(self, name):g}"
                )
        if not 0 < self.data_share <= 1:
            raise UsageError(
                f"--recipe: {self.name}: data_share must be above 0 and at most 1, "
                f"got {self.data_share:g}"
            )
        if self.batch_size % self.micro_batch:
            raise UsageError(
                f"--recipe: {self.name}: batch_size must be a multiple of "
                f"micro_batch={self.micro_batch}, got {self.batch_size}"
            )

    @property
    def hash(self) -> str:
        """12 hex digits over every field that changes the training.

        Fields that were added later count only if they differ from what was always done, so that
        older records keep their recipe.
        """
        counted = {}
        for name, value in _settings(self).items():
            if name not in LATER or value != LATER[name]:
                counted[name] = value
        return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def micro_batches(self) -> int:
        """The number of micro-batches in one optimizer step."""
        return self.batch_size // self.micro_batch


recipes: Registry[Recipe] = Registry("recipe", room="bench.recipes", flag="--recipe")


def changed(recipe: Recipe, **values: Any) -> Recipe:
    """Return the recipe with changed fields, which its name spells; itself if nothing changes."""
    new = {key: value for key, value in values.items() if getattr(recipe, key) != value}
    if not new:
        return recipe
    spelled = "".join(f":{key}={_text(value)}" for key, value in sorted(new.items()))
    return replace(recipe, **new, name=recipe.name + spelled)


def _text(value: Any) -> str:
    """Return a field's value as it is spelled in a recipe's name."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "-".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


@recipes.resolver
def spelled(name: str) -> Recipe | None:
    """Return the recipe of a name such as `digits:epochs=5:learning_rate=0.001`, else None.

    Raises UsageError if there is no such field, or if its value is invalid.
    """
    base, _, changes = name.partition(":")
    if not changes:
        return None
    recipe = recipes.get(base)
    known = _settings(recipe)
    values: dict[str, Any] = {}
    for change in changes.split(":"):
        key, _, text = change.partition("=")
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            raise UsageError(f"--recipe: {base} has no field {key!r}; {hint}")
        values[key] = _parsed(key, text, known[key])
    return changed(recipe, **values)


def _settings(recipe: Recipe) -> dict[str, Any]:
    """Return the fields that change the training, by name."""
    return {name: value for name, value in asdict(recipe).items() if name not in LABELS}


RANGES = ("crop_scale", "crop_ratio")
SWITCHED = {"true": True, "false": False}
CHOICES = {
    "decay": ("linear", "cosine"),
    "loss": ("cross_entropy", "binary_cross_entropy"),
    "interpolation": ("random", "bilinear", "bicubic"),
    "eval_interpolation": ("bilinear", "bicubic"),
}


def _parsed(name: str, text: str, present: Any) -> Any:
    """Return a field's value from its text, in the type of the field.

    `present` is its value before. Raises UsageError if the text is not such a value.
    """
    if name in RANGES:
        return _range(name, text)
    if isinstance(present, tuple):
        raise UsageError(
            f"--recipe: {name} cannot be changed on the command line; add a file to bench/recipes/"
        )
    declared = next(str(field.type) for field in fields(Recipe) if field.name == name)
    if "None" in declared and text == "none":
        return None
    if name in CHOICES and text not in CHOICES[name]:
        raise UsageError(f"--recipe: {name}={text}: there are {', '.join(CHOICES[name])}")
    if declared == "bool":
        if text not in SWITCHED:
            raise UsageError(f"--recipe: {name}={text}: there are {', '.join(SWITCHED)}")
        return SWITCHED[text]
    try:
        if declared.startswith("int"):
            return int(text)
        return float(text) if declared.startswith("float") else text
    except ValueError:
        kind = "whole number" if declared.startswith("int") else "number"
        raise UsageError(f"--recipe: {name}={text!r} is not a {kind}") from None


def _range(name: str, text: str) -> tuple[float, float]:
    """Return a range from text such as 0.5-1, or 1 for 1-1."""
    first, dash, last = text.partition("-")
    try:
        low, high = float(first), float(last if dash else first)
    except ValueError:
        raise UsageError(f"--recipe: {name}={text!r} is not a range; 0.5-1 would work") from None
    if not 0 < low <= high:
        raise UsageError(
            f"--recipe: {name}={text}: a range must be above 0 and ascending; 0.5-1 would work"
        )
    return low, high


def differences(left: Recipe, right: Recipe) -> list[tuple[str, Any, Any]]:
    """Return the names of the fields in which two recipes differ, with both values."""
    others = _settings(right)
    differing = []
    for name, value in _settings(left).items():
        if value != others[name]:
            differing.append((name, value, others[name]))
    return differing


def shown(value: Any) -> str:
    """Return a field's value for people."""
    if not isinstance(value, tuple) or not value:
        return _text(value)
    if isinstance(value[0], tuple):
        return " → ".join(f"{share:.3g}: {level:.3g}" for share, level in value)
    return f"{value[0]:g} to {value[1]:g}"
