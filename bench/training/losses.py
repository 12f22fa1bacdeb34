"""The loss of a recipe, for labels and for the mixed targets of mixup and cutmix alike."""

from __future__ import annotations

from collections.abc import Callable

from timm.loss import BinaryCrossEntropy
from torch import Tensor
from torch.nn import functional as F

from bench.plugins.recipe import Recipe


def loss_of(recipe: Recipe) -> Callable[[Tensor, Tensor], Tensor]:
    """A function of logits (n, classes) and targets: labels (n,), or shares (n, classes), whose mixer has smoothed them."""
    if recipe.loss == "binary_cross_entropy":
        plain, mixed = (
            BinaryCrossEntropy(smoothing=recipe.label_smoothing),
            BinaryCrossEntropy(smoothing=0.0),
        )
        return lambda logits, targets: (plain if targets.ndim == 1 else mixed)(logits, targets)

    def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(
            logits, targets, label_smoothing=recipe.label_smoothing if targets.ndim == 1 else 0.0
        )

    return cross_entropy
