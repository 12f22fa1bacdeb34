"""The loss of a recipe, for labels and for the mixed targets of mixup and cutmix."""

from __future__ import annotations

from collections.abc import Callable

from timm.loss import BinaryCrossEntropy
from torch import Tensor
from torch.nn import functional as F

from bench.plugins.recipe import Recipe


def loss_of(recipe: Recipe) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss as a function of logits (n, classes) and targets.

    Targets are labels (n,), or shares (n, classes), which mixup has smoothed already.
    """
    if recipe.loss == "binary_cross_entropy":
        plain = BinaryCrossEntropy(smoothing=recipe.label_smoothing)
        mixed = BinaryCrossEntropy(smoothing=0.0)
        return lambda logits, targets: (plain if targets.ndim == 1 else mixed)(logits, targets)

    def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
        smoothing = recipe.label_smoothing if targets.ndim == 1 else 0.0
        return F.cross_entropy(logits, targets, label_smoothing=smoothing)

    return cross_entropy
