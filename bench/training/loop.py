"""Train one model under one recipe, on splits that fit into memory.

Only the training split is read here; the test labels are not even passed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import timm.optim
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.training.recipe import Recipe
from bench.training.splits import Split, Splits


@dataclass
class Curve:
    """What a training looked like: mean loss per epoch, learning rate per step."""

    loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)


class Diverged(RuntimeError):
    """The loss was not a finite number; the message names the step."""


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The rate at `step` of `steps`: linear between the corners of the recipe's schedule."""
    share = step / steps
    for (left, low), (right, high) in pairwise(recipe.schedule):
        if share <= right:
            return recipe.learning_rate * (low + (high - low) * (share - left) / (right - left))
    raise AssertionError(f"step {step} of {steps}")


def augment(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """A random rotation, shift and scale of each image of a batch (n, 3, size, size); zeros come in at the edges."""
    n = len(images)

    def draw() -> Tensor:
        return torch.rand(n, generator=generator) * 2 - 1

    angle, size = draw() * math.radians(recipe.rotate), 1 + draw() * recipe.scale
    cosine, sine = torch.cos(angle) / size, torch.sin(angle) / size
    # affine_grid measures in half image sides, hence the factor 2.
    rows = [torch.stack([cosine, -sine, draw() * recipe.shift * 2]), torch.stack([sine, cosine, draw() * recipe.shift * 2])]
    theta = torch.stack(rows).permute(2, 0, 1).to(images.device)
    return F.grid_sample(images, F.affine_grid(theta, list(images.shape), align_corners=False), align_corners=False)


def train(
    model: nn.Module,
    splits: Splits,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device,
    progress: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> Curve:
    """Train `model` in place; `progress(step, steps, loss)` is called after each epoch.

    The last, incomplete batch of an epoch is dropped, so that every batch norm sees `recipe.batch_size` images.
    Raises `Diverged` where the loss stops being finite.
    """
    generator = torch.Generator().manual_seed(seed)
    images, labels = splits.normalised(splits.train.images).to(device), splits.train.labels.to(device)
    per_epoch = len(labels) // recipe.batch_size
    steps, step, curve = per_epoch * recipe.epochs, 0, Curve()
    assert steps > 0, f"{len(labels)} training images do not fill one batch of {recipe.batch_size}"
    optimizer = timm.optim.create_optimizer_v2(
        model, opt=recipe.optimizer, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, eps=recipe.epsilon
    )
    model.to(device).train()
    for _ in range(recipe.epochs):
        order, total = torch.randperm(len(labels), generator=generator).to(device), 0.0
        for batch in order[: per_epoch * recipe.batch_size].split(recipe.batch_size):
            rate = learning_rate(recipe, step, steps)
            curve.learning_rate.append(rate)
            for group in optimizer.param_groups:
                group["lr"] = rate * group.get("lr_scale", 1.0)
            inputs = augment(images[batch], recipe, generator)
            loss = F.cross_entropy(model(inputs), labels[batch], label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimizer.step()
            step, total = step + 1, total + loss.item()
            if not math.isfinite(total):
                raise Diverged(f"the loss was {loss.item()} at step {step} of {steps} (learning rate {rate:g})")
        curve.loss.append(total / per_epoch)
        progress(step, steps, curve.loss[-1])
    return curve


@torch.inference_mode()
def predict(model: nn.Module, splits: Splits, split: Split, *, device: torch.device, batch_size: int = 256) -> Tensor:
    """Predicted labels (n,) of the images of `split`."""
    model.to(device).eval()
    batches = splits.normalised(split.images).split(batch_size)
    return torch.cat([model(batch.to(device)).argmax(dim=1).cpu() for batch in batches])
