"""Siblings of one reference in several families, at an image size that all of them accept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from bench.count.cost import Cost, cost_of
from bench.errors import UsageError
from bench.match.freedom import indivisible, patches_at, usual_patch
from bench.match.search import AXES, TOLERANCE, Budget, Hold, Match, match
from bench.measure.messages import Failure
from bench.measure.worker import Workers
from bench.plugins import Family, Model, families, models

AWAY = 0.25
"""Largest relative distance of a common image size from the reference's own."""


@dataclass(frozen=True, kw_only=True)
class Siblings:
    """The reference, its cost, and its sibling in each family that has one.

    `left_out` gives, by family, why there is no sibling. All models are built for images of
    `image_size` pixels (side) and with `num_classes` outputs.
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
        """Notes on the image size, on families that are left out, and on missed budgets."""
        notes = [self.size_note] if self.size_note else []
        for family, reason in self.left_out.items():
            notes.append(f"{family} is left out: {reason}")
        for sibling in self.matches:
            if not sibling.within and "latency" not in sibling.misses:
                notes.append(_shortfall(sibling, self.tolerance))
        return notes


def _shortfall(sibling: Match, tolerance: float) -> str:
    """Say by how much a sibling misses the budget, and what would close the gap."""
    missed = f"{sibling.family} misses by {in_words(sibling.misses)}, more than {tolerance:.0%}"
    remedy = sibling.remedy
    if remedy is None:
        return (
            f"{missed}; neither another MLP ratio nor images of a third to three times the size "
            "would close the gap"
        )
    command = f"python -m bench describe {remedy.name} --image-size {remedy.image_size}"
    return f"{missed}; {remedy.freedom} would close the gap ({in_words(remedy.misses)}): {command}"


def in_words(misses: dict[str, float]) -> str:
    """Return `params +3.9 %, MACs -1.2 %`."""
    words = {"macs": "MACs"}
    return ", ".join(
        f"{words.get(axis, axis)} {share * 100:+.1f} %" for axis, share in misses.items()
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
    """Return the sibling of `reference` in each family of `names`.

    Without `image_size`, all are matched at the reference's own, or at the nearest size that the
    reference and all families accept. `device` and `policy` matter for a latency budget only, the
    one budget that is measured.

    Raises UsageError if no family has a sibling; a family that has none beside others that do is
    left out, with its reason.
    """
    entry = models.get(reference)
    if budget == "latency" and hold is not None:
        raise UsageError(
            f"--hold: {hold} needs a counted budget such as --budget params; "
            "a latency is searched along each family's published scaling"
        )
    wanted = [families.get(name) for name in names]
    classes = num_classes or entry.num_classes
    allowed = TOLERANCE[budget] if tolerance is None else tolerance
    patch_is_free = len(AXES.get(budget, ())) > 1
    size = image_size or common_size(entry, wanted, classes, free=patch_is_free, hold=hold)
    cost = cost_of(entry, image_size=size, num_classes=classes)
    matches: list[Match] = []
    left_out: dict[str, str] = {}
    sized: Any = {"image_size": size, "num_classes": classes, "tolerance": allowed}
    with Workers() if budget == "latency" else nullcontext() as workers:
        for family in wanted:
            try:
                if workers is None:
                    found = match(entry, family, budget=budget, hold=hold, **sized)
                else:
                    found = _measured(entry, family, workers, device=device, policy=policy, **sized)
                matches.append(found)
            except UsageError as error:
                left_out[family.name] = str(error)
    if left_out and not matches:
        raise UsageError("; ".join(dict.fromkeys(left_out.values())))
    return Siblings(
        reference=entry,
        cost=cost,
        image_size=size,
        num_classes=classes,
        tolerance=allowed,
        matches=matches,
        left_out=left_out,
        size_note=None if image_size else _size_note(entry, size, wanted),
    )


def _size_note(entry: Model, size: int, wanted: list[Family]) -> str | None:
    """Say why an image size other than the reference's own was chosen; None if it was not."""
    own = entry.image_size
    if size == own:
        return None
    stuck = [family.name for family in wanted if own % usual_patch(family, own)]
    return (
        f"matched at {size} pixels, the nearest size that the reference and all families accept: "
        f"{own} is not a multiple of the patches of {', '.join(stuck)}"
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
    """Return the sibling of equal latency.

    Raises UsageError if the family has none or a model cannot be timed.
    """
    from bench.match.latency import match_latency

    if family.candidates is None:
        raise UsageError(f"--match: {family.name} has no published scaling to search for a latency")
    if not patches_at(family, image_size, free=False):
        raise indivisible(family, image_size)
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
            f"--match: timing {entry.name} next to its siblings failed: {failure.error}"
        ) from failure


def common_size(
    entry: Model, wanted: list[Family], classes: int, *, free: bool, hold: Hold | None
) -> int:
    """Return the image size nearest to the reference's that it and all families accept.

    That is the reference's own if possible, and also if no size within a quarter of it fits all.
    """
    own = entry.image_size

    def all_serve(size: int) -> bool:
        return hold is not None or all(patches_at(family, size, free=free) for family in wanted)

    sizes = range(math.ceil(own * (1 - AWAY)), math.floor(own * (1 + AWAY)) + 1)
    for size in sorted(sizes, key=lambda size: (abs(size - own), -size)):
        if all_serve(size) and (size == own or _takes(entry, size, classes)):
            return size
    return own


def _takes(entry: Model, size: int, classes: int) -> bool:
    """True if a model works at an image size, and its patches divide that."""
    try:
        tokens = cost_of(entry, image_size=size, num_classes=classes).tokens
    except UsageError:
        return False
    return tokens is None or size % math.isqrt(tokens) == 0
