"""Find, for a reference model, the shape of another family that costs the same.

The search runs over each family's sensible shapes in closed form; the winner is then built on the
meta device and counted independently. Among the shapes within the tolerance, the one nearest to its
family's published scaling wins.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from bench.count.cost import Cost, cost_of
from bench.errors import UsageError
from bench.match.freedom import (
    LARGEST_PATCH,
    Remedy,
    find_remedy,
    indivisible,
    patches_at,
    usual_patch,
)
from bench.match.target import Target, any_shape, largest
from bench.plugins import Family, Model, models

Budget = Literal["params", "macs", "params+macs", "latency"]
Hold = Literal["tokens", "shape"]
TOLERANCE: dict[str, float] = {"params": 0.02, "macs": 0.02, "params+macs": 0.05, "latency": 0.1}
AXES: dict[str, tuple[str, ...]] = {
    "params": ("params",),
    "macs": ("macs",),
    "params+macs": ("params", "macs"),
}
TWIN_RULE = "the reference's width, depth and grid; hidden width of the MLP"
LARGEST_RATIO = 64
"""Hidden width over model width up to which a twin's MLP is searched."""


@dataclass(frozen=True, kw_only=True)
class Match:
    """The sibling in one family: its name, its cost, the rule that chose it, and its misses.

    `misses` are relative and signed, one per axis of the budget; `miss` is the largest of them
    without its sign. If it exceeds the tolerance, `within` is False and `remedy` is a shape that
    meets the budget with more freedom than the search takes (None if there is none).
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
    """Return the shape of `family` with the budget of `reference`.

    `hold="tokens"` keeps the reference's token grid; `hold="shape"` also keeps its width and depth
    and closes the budget by the hidden width of the MLP alone. If nothing lies within `tolerance`,
    the nearest shape is returned with `within` False.

    Raises UsageError if the budget is out of reach of the family's shapes, or if `hold` asks for
    something that the reference or the family does not have.
    """
    classes = num_classes or reference.num_classes
    target = Target(
        cost=cost_of(reference, image_size=image_size, num_classes=classes),
        axes=AXES[budget],
        image_size=image_size,
        num_classes=classes,
        tolerance=tolerance,
    )
    if hold == "shape":
        name, rule = _twin(reference, family, target), TWIN_RULE
    else:
        name, rule = _search(reference, family, target, hold), family.rule
    cost = cost_of(models.get(name), image_size=image_size, num_classes=classes)
    misses = target.misses(cost)
    within = target.met_by(misses)
    return Match(
        name=name,
        family=family.name,
        cost=cost,
        miss=largest(misses),
        within=within,
        rule=rule,
        misses=misses,
        remedy=None if within or hold else find_remedy(family, target),
    )


def _search(reference: Model, family: Family, target: Target, hold: Hold | None) -> str:
    """Return the name of the best of a family's sensible shapes."""
    if family.candidates is None:
        raise UsageError(
            f"--match: {family.name} has no published scaling to search; add --hold shape"
        )
    patches = _patches(reference, family, target, hold)
    # First the shapes that can meet the budget at all; if none does, the nearest of all shapes.
    for reachable in (target.reachable, any_shape):
        shapes = family.candidates(
            target.image_size, patches, free_mlp=target.needs_both, reachable=reachable
        )
        best = _best_of(shapes, family, target, patch_is_free=len(patches) > 1)
        if best is not None and best.within:
            return best.name
    assert best is not None, f"{family.name} has no shapes"
    if best.reach < 1 - target.tolerance:
        raise UsageError(
            f"--reference: {reference.name} is {1 / best.reach:.1f} times as large as "
            f"the largest sensible {family.name} in {' and '.join(target.axes)}"
        )
    return best.name


@dataclass(frozen=True)
class _Best:
    """The shape that a search chose; `reach` is the largest share of the budget that any has."""

    name: str
    within: bool
    reach: float


def _best_of(
    shapes: Iterable[tuple[Any, float]], family: Family, target: Target, *, patch_is_free: bool
) -> _Best | None:
    """Return the most usual shape within the tolerance, else the nearest; None without any shape.

    `shapes` are pairs of a shape and its distance from the family's published scaling.
    """
    usual = usual_patch(family, target.image_size)
    best: tuple[tuple[bool, float, float], str] | None = None
    reach = 0.0
    for shape, distance in shapes:
        misses = target.misses_of(shape)
        miss = largest(misses)
        reach = max(reach, 1 + min(misses.values()))
        if patch_is_free:
            # Doubling the patch counts as much as a depth that is half off the usual one.
            distance += abs(math.log2(getattr(shape, "patch", usual) / usual)) / 2
        outside = not target.met_by(misses)
        rank = (outside, miss if outside else distance, miss)
        if best is None or rank < best[0]:
            best = (rank, shape.name)
    return best and _Best(best[1], within=not best[0][0], reach=reach)


def _twin(reference: Model, family: Family, target: Target) -> str:
    """Return the name of the shape on the reference's grid whose MLP closes the budget."""
    twin = family.twin
    if twin is None:
        raise UsageError(
            f"--match: {family.name} has no MLP whose width could close the budget; "
            "drop it or drop --hold shape"
        )
    patch = _reference_patch(reference, target)
    width, depth = target.cost.width, target.cost.depth
    if width is None or depth is None:
        raise UsageError(
            f"--hold: {reference.name} has more than one width or depth; use --hold tokens"
        )

    def share(hidden: int) -> float:
        return 1 + target.misses_of(twin(width, depth, patch, hidden))[target.axes[0]]

    # The cost grows with the hidden width: take the first one that reaches the target, or the one
    # before it if that is nearer.
    above = bisect.bisect_left(range(1, LARGEST_RATIO * width), 1.0, key=share) + 1
    hidden = min((max(1, above - 1), above), key=lambda hidden: abs(share(hidden) - 1))
    return str(twin(width, depth, patch, hidden).name)


def _patches(reference: Model, family: Family, target: Target, hold: Hold | None) -> list[int]:
    """Return the patches to try: the held one, all if both axes are given, else the usual one."""
    if hold == "tokens":
        patch = _reference_patch(reference, target)
        if not family.patch:
            raise UsageError(f"--hold: {family.name} has no token grid; drop it or drop --hold")
        return [patch]
    if patches := patches_at(family, target.image_size, free=target.needs_both):
        return patches
    if target.needs_both:
        raise UsageError(
            f"--image-size: no patch of 2 to {LARGEST_PATCH} pixels divides {target.image_size}, "
            f"as {family.name} needs"
        )
    raise indivisible(family, target.image_size)


def _reference_patch(reference: Model, target: Target) -> int:
    """Return the side of the reference's patches in pixels; UsageError if it has no token grid."""
    if target.cost.tokens is None:
        raise UsageError(f"--hold: {reference.name} has no token grid; drop --hold")
    return target.image_size // round(target.cost.tokens**0.5)
