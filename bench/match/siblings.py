"""Siblings of one reference in several families, at an image size that all of them take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from bench.count.cost import Cost, cost_of
from bench.errors import UsageError
from bench.match.freedom import patches_at, usual_patch
from bench.match.search import AXES, TOLERANCE, Budget, Hold, Match, match
from bench.measure.messages import Failure
from bench.measure.worker import Workers
from bench.plugins import Family, Model, families, models

AWAY = 0.25
"""How far from the reference's own an image size may be, as a share of it, that serves all families."""


@dataclass(frozen=True, kw_only=True)
class Siblings:
    """The reference with its cost, its sibling in each family that has one, and why the others are left out.

    `image_size` and `num_classes` are those that all of them are built with.
    """

    reference: Model
    cost: Cost
    image_size: int
    num_classes: int
    tolerance: float
    matches: list[Match]
    left_out: dict[str, str]
    size_note: str | None

    @property
    def notes(self) -> list[str]:
        """What has to be said of the image size, of families that are left out, and of budgets that were missed."""
        found = [self.size_note] if self.size_note else []
        found += [f"{family} is left out: {reason}" for family, reason in self.left_out.items()]
        return found + [
            _missed(one, self.tolerance)
            for one in self.matches
            if not one.within and "latency" not in one.misses
        ]


def _missed(one: Match, tolerance: float) -> str:
    """How a match fell short, and what would close it."""
    where = f"{one.family} misses by {in_words(one.misses)}, more than {tolerance:.0%}"
    if one.remedy is None:
        return f"{where}; neither another MLP ratio nor images of a third to three times the size would close it"
    found = one.remedy
    command = f"python -m bench describe {found.name} --image-size {found.image_size}"
    return f"{where}; {found.freedom} would close it ({in_words(found.misses)}): {command}"


def in_words(missed: dict[str, float]) -> str:
    """`params +3.9 %, MACs -1.2 %`."""
    return ", ".join(
        f"{'MACs' if axis == 'macs' else axis} {share * 100:+.1f} %"
        for axis, share in missed.items()
    )


def siblings(
    reference: str,
    names: Sequence[str],
    *,
    budget: Budget,
    image_size: int | None,
    num_classes: int | None = None,
    tolerance: float | None,
    hold: Hold | None,
    device: str = "cpu",
    policy: str = "fp32",
) -> Siblings:
    """The sibling of `reference` in each family named. Only a latency budget measures anything.

    A family that cannot serve the reference is left out and its reason kept; UsageError where that leaves none. Without
    `image_size` it is the reference's own, or the nearest one that it and all families take.
    """
    entry = models.get(reference)
    if budget == "latency" and hold is not None:
        raise UsageError(
            f"--hold: {hold} goes with a counted budget; a latency is searched along each family's published scaling"
        )
    wanted = [families.get(name) for name in names]
    classes = num_classes or entry.num_classes
    allowed = TOLERANCE[budget] if tolerance is None else tolerance
    size = image_size or common_size(
        entry, wanted, classes, free=len(AXES.get(budget, ())) > 1, hold=hold
    )
    cost = cost_of(entry, image_size=size, num_classes=classes)
    found: list[Match] = []
    left_out: dict[str, str] = {}
    at: Any = {"image_size": size, "num_classes": classes, "tolerance": allowed}
    with Workers() if budget == "latency" else nullcontext() as workers:
        for family in wanted:
            try:
                if workers is None:
                    found.append(match(entry, family, budget=budget, hold=hold, **at))
                else:
                    found.append(
                        _measured(entry, family, workers, device=device, policy=policy, **at)
                    )
            except UsageError as error:
                left_out[family.name] = str(error)
    if left_out and not found:
        raise UsageError("; ".join(dict.fromkeys(left_out.values())))
    return Siblings(
        reference=entry,
        cost=cost,
        image_size=size,
        num_classes=classes,
        tolerance=allowed,
        matches=found,
        left_out=left_out,
        size_note=None
        if image_size or size == entry.image_size
        else _size_note(entry, size, wanted),
    )


def _size_note(entry: Model, size: int, wanted: list[Family]) -> str:
    stuck = [
        family.name for family in wanted if entry.image_size % usual_patch(family, entry.image_size)
    ]
    return (
        f"matched at {size} pixels, the size nearest the reference's own that it and all families take: "
        f"{entry.image_size} is not a multiple of the patches of {', '.join(stuck)}"
    )


def _measured(
    entry: Model,
    family: Family,
    workers: Workers,
    *,
    image_size: int,
    num_classes: int,
    tolerance: float,
    device: str,
    policy: str,
) -> Match:
    """The sibling of equal latency; UsageError where the family has none or a model cannot be timed."""
    from bench.match.latency import match_latency

    if family.candidates is None:
        raise UsageError(f"--match: {family.name} has no published scaling to search for a latency")
    if not patches_at(family, image_size, free=False):
        raise UsageError(
            f"--image-size: {image_size} is not a multiple of {family.name}'s patch of {usual_patch(family, image_size)}"
        )
    try:
        return match_latency(
            entry,
            family,
            image_size=image_size,
            num_classes=num_classes,
            tolerance=tolerance,
            device=device,
            policy=policy,
            open_worker=workers.open,
        )
    except Failure as failure:
        raise UsageError(
            f"--match: timing {entry.name} beside its siblings failed: {failure.error}"
        ) from failure


def common_size(
    entry: Model, wanted: list[Family], classes: int, *, free: bool, hold: Hold | None
) -> int:
    """The reference's own image size, or the nearest that it and all families take; its own where there is none."""
    own = entry.image_size

    def all_serve(size: int) -> bool:
        return hold is not None or all(patches_at(family, size, free=free) for family in wanted)

    sizes = range(math.ceil(own * (1 - AWAY)), math.floor(own * (1 + AWAY)) + 1)
    for size in sorted(sizes, key=lambda size: (abs(size - own), -size)):
        if all_serve(size) and (size == own or _takes(entry, size, classes)):
            return size
    return own


def _takes(entry: Model, size: int, classes: int) -> bool:
    """True if a model works at an image size, and on a whole number of patches."""
    try:
        tokens = cost_of(entry, image_size=size, num_classes=classes).tokens
    except UsageError:
        return False
    return tokens is None or size % math.isqrt(tokens) == 0
