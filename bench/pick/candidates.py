"""The candidates of `bench pick`: architectures with a published top-1, and their counts.

The default ones follow from a rule: every architecture of the project's table of published
accuracies (bench/analysis/published_accuracy.csv) with an ImageNet-1k top-1 at the image size at
which it is measured. Of several names of one architecture that of this project comes first, else it
is `timm:NAME`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.analysis import published
from bench.analysis.published import Published
from bench.analysis.timm_names import TIMM_NAMES
from bench.count.cost import Cost, cost_in_closed_form
from bench.errors import UsageError
from bench.pick.limits import Limits, shown
from bench.plugins import Model, models

IMAGENET_CLASSES = 1000
NONE_PUBLISHED = "no top-1 published at their image size"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An architecture at one image size, its counts, and its published weight sets, best first.

    `weight_sets` are those within the limit of top-1; empty if only other values are wanted.
    """

    model: Model
    image_size: int
    cost: Cost
    weight_sets: tuple[Published, ...]

    @property
    def name(self) -> str:
        """The name as on the command line."""
        return self.model.name

    @property
    def tops(self) -> tuple[float, ...]:
        """The top-1 of its weight sets as shares, best first."""
        return tuple(found.top1 for found in self.weight_sets)


@dataclass(frozen=True)
class LeftOut:
    """Candidates that are not measured, and the reason that they have in common."""

    reason: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Field:
    """The candidates that are left to be measured, and those that are not."""

    candidates: list[Candidate]
    left_out: list[LeftOut]


def default_names() -> list[str]:
    """Return the names of the default candidates, in the order of the table (best top-1 first)."""
    own = {timm_name: name for name, timm_name in TIMM_NAMES.items()}
    names: dict[str, None] = {}
    for row in published.rows():
        names[own.get(row.architecture, f"timm:{row.architecture}")] = None
    return list(names)


def field_of(
    names: Sequence[str],
    limits: Limits,
    *,
    image_size: int | None = None,
    imported: Sequence[Published] = (),
    more_data: bool = False,
    by_published: bool = True,
    needs_published: bool = True,
) -> Field:
    """Return the candidates within the limits of counts and published top-1; the others by reason.

    Args:
        names: Models as on the command line.
        limits: Those on speed and memory are for what is measured.
        image_size: Side in pixels; each model's own unless given.
        imported: Published rows that a user added.
        more_data: Weight sets with more data or a teacher count next to plain ones.
        by_published: Published weight sets are looked up.
        needs_published: A candidate without a published top-1 is left out.

    Raises UsageError for a name that does not exist.
    """
    kept: list[Candidate] = []
    reasons: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        if "@" in name:
            raise UsageError(
                f"--candidates: {name} names weights; give the architecture, {name.split('@')[0]}"
            )
        model = _model(name)
        size = image_size or model.image_size
        found = _weight_sets(model, size, imported, more_data) if by_published else []
        reason = _over_counts(model, size, limits)
        if reason is None and needs_published:
            reason = _below(found, limits)
        if reason is not None:
            reasons.setdefault(reason, []).append(name)
            continue
        tops = [row for row in found if limits.top1 is None or row.top1 >= limits.top1]
        kept.append(
            Candidate(
                model=model, image_size=size, cost=_cost(model, size), weight_sets=tuple(tops)
            )
        )
    left_out = [LeftOut(reason, tuple(found)) for reason, found in reasons.items()]
    return Field(kept, left_out)


def _model(name: str) -> Model:
    try:
        return models.get(name)
    except UsageError as error:
        raise UsageError(str(error).replace("--models:", "--candidates:", 1)) from None


def _weight_sets(
    model: Model, size: int, imported: Sequence[Published], more_data: bool
) -> list[Published]:
    """Return the published weight sets of a model, best first: as reports show their range."""
    of = published.of if more_data else published.comparable
    return of(model.timm_name, size, imported)


def _cost(model: Model, size: int) -> Cost:
    return cost_in_closed_form(model, image_size=size, num_classes=model.num_classes)


def _over_counts(model: Model, size: int, limits: Limits) -> str | None:
    """Return how a model's counts miss a limit; None if they do not."""
    if limits.params is None and limits.macs is None:
        return None
    cost = _cost(model, size)
    for name, value, most in (
        ("params", cost.params, limits.params),
        ("macs", cost.macs, limits.macs),
    ):
        if most is not None and value > most:
            words = {"params": "parameters", "macs": "MACs"}[name]
            return f"more than {shown(name, most)} {words}"
    return None


def _below(found: Iterable[Published], limits: Limits) -> str | None:
    """Return why published top-1 rules a model out; None if it does not."""
    best = max((row.top1 for row in found), default=None)
    if best is None:
        return NONE_PUBLISHED
    if limits.top1 is not None and best < limits.top1:
        return f"published top-1 below {shown('top1', limits.top1)}"
    return None


def too_much_work(
    candidates: Sequence[Candidate], limit: float, rate: float
) -> tuple[list[Candidate], LeftOut | None]:
    """Return the candidates that could meet a limit of latency, and the others.

    `limit` is in seconds, `rate` the most multiply-adds per second that this device can do: a model
    with more than their product cannot be that fast under any policy of that precision.
    """
    most = limit * rate
    able = [found for found in candidates if found.cost.macs <= most]
    names = tuple(found.name for found in candidates if found.cost.macs > most)
    if not names:
        return able, None
    reason = (
        f"more than {shown('macs', most)} MACs: over {shown('latency', limit)} under any policy at "
        f"{shown('macs', rate)} MACs a second, more than this device does"
    )
    return able, LeftOut(reason, names)
