"""A recipe: every hyperparameter of a training, as one named, frozen, hashed object.

All families get the same recipe. Its hash is part of an accuracy record's key, so two rows with different recipes
can never be taken for one. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from bench.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train, whatever the model. Sizes are images, angles degrees, shifts shares of the image side."""

    name: str
    summary: str = ""
    epochs: int
    batch_size: int
    """Images per optimizer step, over all devices. Also what one batch norm sees."""
    optimizer: str = "adamw"
    """A name that `timm.optim` knows."""
    learning_rate: float
    weight_decay: float
    """Not applied to biases, norms and other vectors (timm's rule)."""
    epsilon: float = 1e-8
    clip_norm: float | None = 1.0
    """Largest norm of the gradient; None: not clipped."""
    schedule: tuple[tuple[float, float], ...]
    """Corners (share of all steps, share of `learning_rate`), linear in between, read at every step."""
    label_smoothing: float = 0.0
    rotate: float = 0.0
    shift: float = 0.0
    scale: float = 0.0
    """Random rotation up to +-rotate, shift up to +-shift, size within 1 +- scale; one draw per image."""

    def __post_init__(self) -> None:
        shares = [share for share, _ in self.schedule]
        assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1, "a schedule runs from 0 to 1"

    @property
    def hash(self) -> str:
        """Twelve hex digits over every field that changes the training (not over its name and summary)."""
        fields = {key: value for key, value in asdict(self).items() if key not in ("name", "summary")}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]


# The shape of the ConvMixer authors' schedule (locuslab/convmixer, train.py): up over the first two fifths, down to
# a twentieth at four fifths, then to nothing.
TRIANGULAR = ((0.0, 0.0), (0.4, 1.0), (0.8, 0.05), (1.0, 0.0))

recipes: Registry[Recipe] = Registry("recipe", room="bench.training.recipes", flag="--recipe")
