"""Siblings of equal budget: for a reference model, the shape of another family that costs the same.

Searches the families' sensible shapes by closed form and verifies the winner by building it on the meta device and
counting it independently. Of the shapes within tolerance the one nearest its family's published scaling wins.
"""

from __future__ import annotations

import bisect
import functools
import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor, nn

from bench.count.macs import torch_macs
from bench.count.token_grid import Blocks
from bench.count.without_memory import built
from bench.errors import Uncountable, UsageError
from bench.match.freedom import Remedy, find_remedy, misses, patches_at, usual_patch
from bench.plugins import Family, Model, models

Budget = Literal["params", "macs", "params+macs", "latency"]
Hold = Literal["tokens", "shape"]
TOLERANCE: dict[str, float] = {"params": 0.02, "macs": 0.02, "params+macs": 0.05, "latency": 0.1}
AXES: dict[str, tuple[str, ...]] = {"params": ("params",), "macs": ("macs",), "params+macs": ("params", "macs")}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Exact parameters and MACs of a model at one image size; its token grid, width and depth where it has one of each."""

    params: int
    macs: int
    tokens: int | None
    width: int | None = None
    depth: int | None = None


@dataclass(frozen=True, kw_only=True)
class Match:
    """The sibling of one family: its name, its cost, the rule, and how far it misses the budget.

    `misses` are relative and signed, one per axis of the budget, `miss` is the largest of them without its sign; `remedy` is
    a shape that lies within the tolerance with more freedom than the search takes, where this one does not.
    """

    name: str
    family: str
    cost: Cost
    miss: float
    within: bool
    rule: str
    misses: dict[str, float]
    remedy: Remedy | None = None


@functools.cache
def cost_of(entry: Model, *, image_size: int, num_classes: int) -> Cost:
    """Build `entry` on the meta device, or where that fails on the CPU, and count it there; UsageError where it cannot be."""
    try:
        cost, _ = built(entry, _count, image_size=image_size, num_classes=num_classes)
    except Uncountable as error:
        raise UsageError(f"{entry.name}: MACs: {error}") from error
    if entry.shape is None:
        return cost
    tokens = entry.shape.counts(image_size, num_classes).tokens
    width, depth = (getattr(entry.shape, name, None) for name in ("width", "depth"))
    return replace(cost, tokens=tokens, width=width, depth=depth)


def _count(model: nn.Module, images: Tensor) -> Cost:
    with Blocks(model) as grid:
        macs = torch_macs(without_uncounted(model), images)
    # After the forward pass, which gives lazy layers their parameters.
    params = sum(parameter.numel() for parameter in model.parameters())
    found = grid()
    if found is None:
        return Cost(params=params, macs=macs, tokens=None)
    return Cost(params=params, macs=macs, tokens=found.tokens, width=found.width, depth=found.depth)


def without_uncounted(model: nn.Module) -> nn.Module:
    """The same model, changed in place, with norms and activations that no counter counts doing nothing.

    On the meta device they are most of a count's time: torch decomposes them into many small operators there.
    """
    for module in model.modules():
        if type(module) in (nn.LayerNorm, nn.BatchNorm2d, nn.GELU, nn.ReLU):
            module.forward = _unchanged
    return model


def _unchanged(x: Tensor) -> Tensor:
    return x


def cost_in_closed_form(entry: Model, *, image_size: int, num_classes: int) -> Cost:
    """The same without building anything, where the model's shape knows it."""
    if entry.shape is None:
        return cost_of(entry, image_size=image_size, num_classes=num_classes)
    counted = entry.shape.counts(image_size, num_classes)
    return Cost(params=counted.params, macs=counted.macs, tokens=counted.tokens)


def match(
    reference: Model,
    family: Family,
    *,
    budget: Budget,
    image_size: int,
    tolerance: float,
    hold: Hold | None = None,
    num_classes: int | None = None,
) -> Match:
    """The shape of `family` with the budget of `reference`.

    `hold="tokens"` keeps the reference's token grid; `hold="shape"` its width and depth too, and closes the budget by
    the hidden width of the MLP alone. Where nothing lies within `tolerance` the nearest is returned with `within`
    false. UsageError where the budget lies outside what the family's shapes can cost, or where there is nothing to
    hold.
    """
    classes = num_classes or reference.num_classes
    target = cost_of(reference, image_size=image_size, num_classes=classes)
    axes = AXES[budget]
    if hold == "shape":
        name, rule = (
            _twin(reference, family, target, axes, image_size, classes),
            "the reference's width, depth and grid; hidden width of the MLP",
        )
    else:
        name, rule = _search(reference, family, target, axes, image_size, classes, tolerance, hold), family.rule
    cost = cost_of(models.get(name), image_size=image_size, num_classes=classes)
    missed = misses(cost, target, axes)
    miss = max(map(abs, missed.values()))
    remedy = None if miss <= tolerance or hold else find_remedy(family, target, axes, image_size, classes, tolerance)
    return Match(
        name=name,
        family=family.name,
        cost=cost,
        miss=miss,
        within=miss <= tolerance,
        rule=rule,
        misses=missed,
        remedy=remedy,
    )


def _search(
    reference: Model,
    family: Family,
    target: Cost,
    axes: tuple[str, ...],
    image_size: int,
    classes: int,
    tolerance: float,
    hold: Hold | None,
) -> str:
    """The name of the best of a family's sensible shapes."""
    if family.candidates is None:
        raise UsageError(f"--match: {family.name} has no published scaling to search; add --hold shape")
    patches = _patches(target, family, image_size, free=len(axes) > 1, hold=hold)
    usual = usual_patch(family, image_size)

    def ratios(shape: Any) -> list[float]:
        counted = shape.counts(image_size, classes)
        return [getattr(counted, axis) / getattr(target, axis) for axis in axes]

    def reachable(smallest: Any, largest: Any) -> bool:
        return max(ratios(smallest)) <= 1 + tolerance and min(ratios(largest)) >= 1 - tolerance

    # First among the shapes that can meet the budget at all; where none does, the nearest of all of them.
    for within_reach in (reachable, lambda *shapes: True):
        best: tuple[tuple[bool, float, float], str] | None = None
        most = 0.0
        for shape, far in family.candidates(image_size, patches, free_mlp=len(axes) > 1, reachable=within_reach):
            found = ratios(shape)
            most = max(most, min(found))
            miss = max(abs(ratio - 1) for ratio in found)
            inside = miss <= tolerance
            # Where patches are free a doubling weighs as much as half the usual depth.
            unusual = far + abs(math.log2(getattr(shape, "patch", usual) / usual)) / 2 if len(patches) > 1 else far
            rank = (not inside, unusual if inside else miss, miss)
            if best is None or rank < best[0]:
                best = (rank, shape.name)
        if best is not None and not best[0][0]:
            return best[1]
    assert best is not None, f"{family.name} has no shapes"
    if most < 1 - tolerance:
        times, what = f"{1 / most:.1f} times as large as", " and ".join(axes)
        raise UsageError(f"--reference: {reference.name} is {times} the largest sensible {family.name} in {what}")
    return best[1]


def _twin(reference: Model, family: Family, target: Cost, axes: tuple[str, ...], image_size: int, classes: int) -> str:
    """The name of the shape on the reference's grid, its MLP as wide as the budget allows."""
    if family.twin is None:
        raise UsageError(f"--match: {family.name} has no token grid to share; leave it out or leave --hold shape away")
    if target.tokens is None:
        raise UsageError(f"--hold: {reference.name} has no token grid to hold; leave --hold away")
    patch = image_size // round(target.tokens**0.5)
    if target.width is None or target.depth is None:
        raise UsageError(f"--hold: {reference.name} has no one width and depth to hold; --hold tokens would work")
    width, depth = target.width, target.depth

    def cost(hidden: int) -> float:
        assert family.twin is not None
        counted = family.twin(width, depth, patch, hidden).counts(image_size, classes)
        return getattr(counted, axes[0]) / getattr(target, axes[0])

    # Cost grows with the hidden width: the first that reaches the target, or the one before it if that is nearer.
    hidden = bisect.bisect_left(range(1, 64 * width), 1.0, key=cost) + 1
    hidden = min((max(1, hidden - 1), hidden), key=lambda one: abs(cost(one) - 1))
    return str(family.twin(width, depth, patch, hidden).name)


def _patches(target: Cost, family: Family, image_size: int, *, free: bool, hold: Hold | None) -> list[int]:
    """Patches that may be tried: the reference's grid, the family's usual one, or all where both axes must be met."""
    if hold == "tokens":
        if target.tokens is None:
            raise UsageError("--hold: the reference has no token grid to hold; leave --hold away")
        if not family.patch:
            raise UsageError(f"--hold: {family.name} has no token grid; leave it out or leave --hold away")
        return [image_size // round(target.tokens**0.5)]
    if found := patches_at(family, image_size, free=free):
        return found
    if free:
        raise UsageError(f"--image-size: no patch of 2 to 32 pixels divides {image_size}, as {family.name} needs")
    raise UsageError(f"--image-size: {image_size} is not a multiple of {family.name}'s patch of {usual_patch(family, image_size)}")
