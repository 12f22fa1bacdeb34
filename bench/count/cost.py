"""The cost of a model in parameters, multiply-adds and tokens."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

from torch import Tensor, nn

from bench.count.macs import torch_macs
from bench.count.token_grid import Blocks
from bench.count.without_memory import built
from bench.errors import Uncountable, UsageError
from bench.plugins import Model


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Exact parameters and MACs of a model for one image.

    `tokens` is the number of positions of its token grid, `width` and `depth` those of the blocks
    that work on it; None if a model does not have exactly one of each.
    """

    params: int
    macs: int
    tokens: int | None
    width: int | None = None
    depth: int | None = None


@functools.cache
def cost_of(entry: Model, *, image_size: int, num_classes: int) -> Cost:
    """Build a model on the meta device, or on the CPU if that fails, and count it.

    Raises UsageError if the model cannot be built or counted.
    """
    try:
        cost, _ = built(entry, _count, image_size=image_size, num_classes=num_classes)
    except Uncountable as error:
        raise UsageError(f"{entry.name}: MACs: {error}") from error
    if entry.shape is None:
        return cost
    tokens = entry.shape.counts(image_size, num_classes).tokens
    width = getattr(entry.shape, "width", None)
    depth = getattr(entry.shape, "depth", None)
    return replace(cost, tokens=tokens, width=width, depth=depth)


def _count(model: nn.Module, images: Tensor) -> Cost:
    with Blocks(model) as find_grid:
        macs = torch_macs(without_uncounted(model), images)
    # After the forward pass, which gives lazy layers their parameters.
    params = sum(parameter.numel() for parameter in model.parameters())
    grid = find_grid()
    if grid is None:
        return Cost(params=params, macs=macs, tokens=None)
    return Cost(params=params, macs=macs, tokens=grid.tokens, width=grid.width, depth=grid.depth)


def without_uncounted(model: nn.Module) -> nn.Module:
    """Replace, in place, the norms and activations that no counter counts by the identity.

    On the meta device they take most of the time of a count, because torch decomposes them into
    many small operators there.
    """
    for module in model.modules():
        if type(module) in (nn.LayerNorm, nn.BatchNorm2d, nn.GELU, nn.ReLU):
            module.forward = _unchanged
    return model


def _unchanged(x: Tensor) -> Tensor:
    return x


def cost_in_closed_form(entry: Model, *, image_size: int, num_classes: int) -> Cost:
    """Return the cost by the formula of the model's shape; if it has none, build and count it."""
    if entry.shape is None:
        return cost_of(entry, image_size=image_size, num_classes=num_classes)
    counted = entry.shape.counts(image_size, num_classes)
    return Cost(params=counted.params, macs=counted.macs, tokens=counted.tokens)
