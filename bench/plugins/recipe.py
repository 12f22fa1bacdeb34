"""A recipe: every hyperparameter of a training, as one named, frozen, hashed object.

All families get the same recipe. Its hash is part of an accuracy record's key, so two rows with different recipes
can never be taken for one. Standard library only.

A recipe with fields changed is spelled `NAME:field=value:field=value`. Its name says so wherever it is shown, and its
hash is another one.
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
LATER: dict[str, Any] = {"data_share": 1.0}
"""Fields that the first recorded recipes did not have, with what they then were."""
# The shape of the ConvMixer authors' schedule (locuslab/convmixer, train.py): up over the first two fifths, down to
# a twentieth at four fifths, then to nothing.
TRIANGULAR: Corners = ((0.0, 0.0), (0.4, 1.0), (0.8, 0.05), (1.0, 0.0))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train, whatever the model. Sizes are images, angles degrees, shifts and crops shares of the image."""

    name: str
    summary: str = ""
    source: str = ""
    """Where the values come from."""

    epochs: float
    batch_size: int
    """Images per optimizer step, over all devices."""
    micro_batch: int
    """Images that one batch norm sees; `batch_size` is a whole number of them, whatever the devices."""
    optimizer: str = "adamw"
    """A name that `timm.optim` knows."""
    learning_rate: float
    weight_decay: float
    """Not applied to biases, norms and other vectors (timm's rule)."""
    epsilon: float = 1e-8
    clip_norm: float | None = None
    """Largest norm of the gradient; None: not clipped."""
    schedule: Corners
    """Corners (share of all steps, share of `learning_rate`), read at every step."""
    decay: Literal["linear", "cosine"] = "linear"
    """How the rate falls between two corners; it always rises linearly."""

    loss: Literal["cross_entropy", "binary_cross_entropy"] = "cross_entropy"
    label_smoothing: float = 0.0
    mixup: float = 0.0
    """Alpha of mixup's beta distribution; 0: none."""
    cutmix: float = 0.0
    mix_switch: float = 0.5
    """Where both are on, the share of micro-batches that get cutmix."""
    drop_path: float = 0.0
    """Stochastic depth: the last residual branch's share, growing linearly from the first one's 0."""
    ema_decay: float | None = None
    """Of an exponential moving average of the weights, which is then what is evaluated; None: the last weights are."""

    data_share: float = 1.0
    """Share of the training images that is used at all, the same ones for every model and seed. An epoch keeps its length
    in steps, so that another share takes as many."""
    image_size: int | None = None
    """Side of the training images in pixels; None: the model's own."""
    crop_scale: tuple[float, float] = (1.0, 1.0)
    """Share of the area that a random crop keeps."""
    crop_ratio: tuple[float, float] = (1.0, 1.0)
    """Width over height of that crop."""
    interpolation: Literal["random", "bilinear", "bicubic"] = "random"
    """Of training images that are resized on the host."""
    flip: float = 0.0
    """Probability of a horizontal flip."""
    rand_augment: str | None = None
    """timm's spelling, `rand-m9-n2-mstd0.5-inc1`; or torchvision's RandAugment as `ra-n2-m12`."""
    jitter: float = 0.0
    """Brightness, contrast and saturation within 1 +- jitter."""
    erase: float = 0.0
    """Probability that a rectangle is replaced by noise."""
    rotate: float = 0.0
    shift: float = 0.0
    scale: float = 0.0
    """Random rotation up to +-rotate, shift up to +-shift, size within 1 +- scale; one draw per image."""

    eval_crop: float = 1.0
    """Share of the side that evaluation keeps, at the model's size."""
    eval_interpolation: Literal["bilinear", "bicubic"] = "bicubic"

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "epochs", float(self.epochs)
        )  # 25 and 25.0 are one recipe, and have to hash alike
        shares = [share for share, _ in self.schedule]
        assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1, (
            "a schedule runs from 0 to 1"
        )
        for name in ("epochs", "batch_size", "micro_batch", "learning_rate", "eval_crop"):
            if not getattr(self, name) > 0:
                raise UsageError(
                    f"--recipe: {self.name}: {name} has to be above 0, not {getattr(self, name):g}"
                )
        if not 0 < self.data_share <= 1:
            raise UsageError(
                f"--recipe: {self.name}: data_share has to be above 0 and at most 1, not {self.data_share:g}"
            )
        if self.batch_size % self.micro_batch:
            raise UsageError(
                f"--recipe: {self.name}: a batch of {self.batch_size} is no whole number of micro-batches of {self.micro_batch}"
            )

    @property
    def hash(self) -> str:
        """Twelve hex digits over every field that changes the training (not over its name, summary and source).

        Fields that came later do not count while they say what was always so: older records keep their recipe.
        """
        kept = {
            key: value
            for key, value in asdict(self).items()
            if key not in ("name", "summary", "source")
        }
        kept = {key: value for key, value in kept.items() if LATER.get(key, object()) != value}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def micro_batches(self) -> int:
        """How many of them make one optimizer step."""
        return self.batch_size // self.micro_batch


recipes: Registry[Recipe] = Registry("recipe", room="bench.recipes", flag="--recipe")


def changed(recipe: Recipe, **values: Any) -> Recipe:
    """The recipe with some fields changed, under the name that spells them; itself where nothing changes."""
    new = {key: value for key, value in values.items() if getattr(recipe, key) != value}
    if not new:
        return recipe
    spelled = "".join(f":{key}={_text(value)}" for key, value in sorted(new.items()))
    return replace(recipe, **new, name=recipe.name + spelled)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(f"{one:g}" for one in value)
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


@recipes.resolver
def spelled(name: str) -> Recipe | None:
    """`digits:epochs=5:learning_rate=0.001`; UsageError where a field or its value is none."""
    base, _, changes = name.partition(":")
    if not changes:
        return None
    recipe = recipes.get(base)
    known = {
        field.name: getattr(recipe, field.name)
        for field in fields(recipe)
        if field.name not in ("name", "summary", "source")
    }
    values: dict[str, Any] = {}
    for change in changes.split(":"):
        key, _, text = change.partition("=")
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            raise UsageError(
                f"--recipe: {base} has no field {key!r}"
                + (f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}")
            )
        values[key] = _parsed(key, text, known[key])
    return changed(recipe, **values)


RANGES = ("crop_scale", "crop_ratio")
CHOICES = {
    "decay": ("linear", "cosine"),
    "loss": ("cross_entropy", "binary_cross_entropy"),
    "interpolation": ("random", "bilinear", "bicubic"),
    "eval_interpolation": ("bilinear", "bicubic"),
}


def _parsed(key: str, text: str, present: Any) -> Any:
    """A field's value from its text, of the type that the field has."""
    if key in RANGES:
        low, dash, high = text.partition("-")
        try:
            found = (float(low), float(high if dash else low))
        except ValueError:
            raise UsageError(f"--recipe: {key}={text!r} is not a range; 0.5-1 would be") from None
        if not 0 < found[0] <= found[1]:
            raise UsageError(f"--recipe: {key}={text}: a range goes up from above 0, such as 0.5-1")
        return found
    if isinstance(present, tuple):
        raise UsageError(
            f"--recipe: {key} cannot be changed on the command line; a file in bench/recipes/ can"
        )
    declared = str(next(field.type for field in fields(Recipe) if field.name == key))
    if "None" in declared and text == "none":
        return None
    if key in CHOICES and text not in CHOICES[key]:
        raise UsageError(f"--recipe: {key}={text}: there are {', '.join(CHOICES[key])}")
    kind = next((kind for kind in (int, float) if declared.startswith(kind.__name__)), str)
    try:
        return kind(text)
    except ValueError:
        raise UsageError(
            f"--recipe: {key}={text!r} is not a {'whole number' if kind is int else 'number'}"
        ) from None


def differences(left: Recipe, right: Recipe) -> list[tuple[str, Any, Any]]:
    """The fields in which two recipes differ, with both values."""
    return [
        (field.name, getattr(left, field.name), getattr(right, field.name))
        for field in fields(Recipe)
        if field.name not in ("name", "summary", "source")
        and getattr(left, field.name) != getattr(right, field.name)
    ]


def shown(value: Any) -> str:
    """A field's value for people."""
    if isinstance(value, tuple) and value and isinstance(value[0], tuple):
        return " → ".join(f"{share:.3g}: {level:.3g}" for share, level in value)
    return (
        "none"
        if value is None
        else f"{value[0]:g} to {value[1]:g}"
        if isinstance(value, tuple)
        else _text(value)
    )
