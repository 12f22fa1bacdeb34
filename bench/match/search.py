"""Siblings of equal budget: for a reference model, the shape of another family that costs the same.

Searches the families' sensible shapes by closed form and verifies the winner by building it on the meta device and
counting it independently. Of the shapes within tolerance the one nearest its family's published scaling wins.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from typing import Any, Literal

from bench.count.cost import Cost, cost_of
from bench.errors import UsageError
from bench.match.freedom import Remedy, find_remedy, misses, patches_at, usual_patch
from bench.plugins import Family, Model, models

Budget = Literal["params", "macs", "params+macs", "latency"]
Hold = Literal["tokens", "shape"]
TOLERANCE: dict[str, float] = {"params": 0.02, "macs": 0.02, "params+macs": 0.05, "latency": 0.1}
AXES: dict[str, tuple[str, ...]] = {
    "params": ("params",),
    "macs": ("macs",),
    "params+macs": ("params", "macs"),
}


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
        name, rule = (
            _search(reference, family, target, axes, image_size, classes, tolerance, hold),
            family.rule,
        )
    cost = cost_of(models.get(name), image_size=image_size, num_classes=classes)
    missed = misses(cost, target, axes)
    miss = max(map(abs, missed.values()))
    remedy = (
        None
        if miss <= tolerance or hold
        else find_remedy(family, target, axes, image_size, classes, tolerance)
    )
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
        raise UsageError(
            f"--match: {family.name} has no published scaling to search; add --hold shape"
        )
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
        for shape, far in family.candidates(
            image_size, patches, free_mlp=len(axes) > 1, reachable=within_reach
        ):
            found = ratios(shape)
            most = max(most, min(found))
            miss = max(abs(ratio - 1) for ratio in found)
            inside = miss <= tolerance
            # Where patches are free a doubling weighs as much as half the usual depth.
            unusual = (
                far + abs(math.log2(getattr(shape, "patch", usual) / usual)) / 2
                if len(patches) > 1
                else far
            )
            rank = (not inside, unusual if inside else miss, miss)
            if best is None or rank < best[0]:
                best = (rank, shape.name)
        if best is not None and not best[0][0]:
            return best[1]
    assert best is not None, f"{family.name} has no shapes"
    if most < 1 - tolerance:
        times, what = f"{1 / most:.1f} times as large as", " and ".join(axes)
        raise UsageError(
            f"--reference: {reference.name} is {times} the largest sensible {family.name} in {what}"
        )
    return best[1]


def _twin(
    reference: Model,
    family: Family,
    target: Cost,
    axes: tuple[str, ...],
    image_size: int,
    classes: int,
) -> str:
    """The name of the shape on the reference's grid, its MLP as wide as the budget allows."""
    if family.twin is None:
        raise UsageError(
            f"--match: {family.name} has no token grid to share; leave it out or leave --hold shape away"
        )
    if target.tokens is None:
        raise UsageError(f"--hold: {reference.name} has no token grid to hold; leave --hold away")
    patch = image_size // round(target.tokens**0.5)
    if target.width is None or target.depth is None:
        raise UsageError(
            f"--hold: {reference.name} has no one width and depth to hold; --hold tokens would work"
        )
    width, depth = target.width, target.depth

    def cost(hidden: int) -> float:
        assert family.twin is not None
        counted = family.twin(width, depth, patch, hidden).counts(image_size, classes)
        return getattr(counted, axes[0]) / getattr(target, axes[0])

    # Cost grows with the hidden width: the first that reaches the target, or the one before it if that is nearer.
    hidden = bisect.bisect_left(range(1, 64 * width), 1.0, key=cost) + 1
    hidden = min((max(1, hidden - 1), hidden), key=lambda one: abs(cost(one) - 1))
    return str(family.twin(width, depth, patch, hidden).name)


def _patches(
    target: Cost, family: Family, image_size: int, *, free: bool, hold: Hold | None
) -> list[int]:
    """Patches that may be tried: the reference's grid, the family's usual one, or all where both axes must be met."""
    if hold == "tokens":
        if target.tokens is None:
            raise UsageError("--hold: the reference has no token grid to hold; leave --hold away")
        if not family.patch:
            raise UsageError(
                f"--hold: {family.name} has no token grid; leave it out or leave --hold away"
            )
        return [image_size // round(target.tokens**0.5)]
    if found := patches_at(family, image_size, free=free):
        return found
    if free:
        raise UsageError(
            f"--image-size: no patch of 2 to 32 pixels divides {image_size}, as {family.name} needs"
        )
    raise UsageError(
        f"--image-size: {image_size} is not a multiple of {family.name}'s patch of {usual_patch(family, image_size)}"
    )
