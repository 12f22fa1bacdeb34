"""The conditions of `--where`: comparisons joined by `and` (or a comma) and by `or`.

A comparison is a name, one of < <= > >= = !=, and a value, such as `latency<=20ms`. `and` binds
tighter than `or`. A number without a unit is in the unit of the name's column: `latency<20` means
20 ms.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from operator import attrgetter, eq, ge, gt, le, lt, ne
from typing import Any

from bench.analysis import published
from bench.analysis.rows import Accuracy, Row, Summary
from bench.errors import UsageError
from bench.report.columns import TOP1, TOP1_PUBLISHED, table_scale
from bench.stats.formatting import per_shown, scale, typed, typed_units, unit_of

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": le,
    ">=": ge,
    "!=": ne,
    "<": lt,
    ">": gt,
    "=": eq,
}
TEXT = ("model", "family", "policy", "device")
"""Names whose values are text."""
_CRITERION = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(<=|>=|!=|==|<|>|=)\s*(.+?)\s*")
_OR = re.compile(r"(?:^|(?<=\s))or(?=\s|$)", re.IGNORECASE)
_AND = re.compile(r",|(?:^|(?<=\s))and(?=\s|$)", re.IGNORECASE)
EXAMPLE = '"params<30M and latency<=20ms or family=vit"'
SHARE = "share"


@dataclass(frozen=True)
class Criterion:
    """One comparison of `--where`, as typed."""

    name: str
    operator: str
    value: str

    @property
    def on_top1(self) -> bool:
        """True if it is about measured accuracies, or about published ones of models without."""
        return self.name == TOP1

    @property
    def text(self) -> str:
        """The comparison in words."""
        return f"{self.name} {self.operator} {self.value}"

    def holds(self, stored: object, unit: str, factor: float | None = None) -> bool:
        """True if a stored value meets the criterion; UsageError for a unit that does not fit.

        `factor` leads from the stored unit to that of the column; the unit's own unless given.
        """
        compare = OPERATORS[self.operator]
        if self.name in TEXT:
            return compare(str(stored), self.value)
        return compare(stored, number(self, unit, scale(unit)[0] if factor is None else factor))


Alternatives = tuple[tuple[Criterion, ...], ...]
"""Lists of criteria; of one list, all have to hold."""


def parsed(text: str) -> Alternatives:
    """Return the conditions of `--where`; UsageError if they cannot be read."""
    if not text.strip():
        return ()
    if "(" in text or ")" in text:
        raise UsageError(
            "--where: brackets cannot be read; `and` binds tighter than `or`, so write each "
            f"alternative in full, such as {EXAMPLE}"
        )
    return tuple(tuple(_criteria(part)) for part in _OR.split(text))


def _criteria(text: str) -> Iterator[Criterion]:
    parts = _AND.split(text)
    if not text.strip():
        raise UsageError(f"--where: a condition is missing beside `or`; {EXAMPLE} would work")
    if not all(map(str.strip, parts)):
        raise UsageError(
            f"--where: a condition is missing beside `and` or a comma in {text.strip()!r}; "
            f"{EXAMPLE} would work"
        )
    yield from map(_criterion, parts)


def _criterion(text: str) -> Criterion:
    found = _CRITERION.fullmatch(text)
    if not found:
        raise UsageError(f"--where: cannot read {text.strip()!r}; {EXAMPLE} would work")
    name, operator, value = found.groups()
    operator = "=" if operator == "==" else operator
    if name in TEXT and operator not in ("=", "!="):
        raise UsageError(f"--where: {name} is text, so use = or != instead of {operator}")
    return Criterion(name, operator, value)


def number(criterion: Criterion, unit: str, factor: float) -> float:
    """Return the value of a criterion in a stored unit; UsageError for a unit that does not fit.

    `factor` leads from the stored unit to the one of a number without a unit.
    """
    value = typed(criterion.value, unit, bare=per_shown(factor))
    if value is None:
        raise UsageError(
            f"--where: {criterion.name} cannot be compared with {criterion.value!r}; "
            f"{unit_of(unit).example} would work (units: {typed_units(unit)})"
        )
    return value


def of_row(summary: Summary, criterion: Criterion, row: Row) -> bool:
    """True if a row meets a criterion; an unknown value meets none."""
    if criterion.name == "family":
        return criterion.holds(row.family, "")
    if criterion.name == "model":  # by its own name, or by the one that the user gave it
        is_it = criterion.value in (row.model, row.label)
        return is_it == (criterion.operator == "=")
    if criterion.name in TEXT:
        return criterion.holds(getattr(row, criterion.name), "")
    if criterion.name == "image_size":
        return criterion.holds(row.image_size, "px", 1.0)
    if criterion.name in (TOP1, TOP1_PUBLISHED):
        weights = published.comparable(
            row.about.timm_name, row.image_size, summary.imported.accuracies
        )
        return any(criterion.holds(found.top1, SHARE) for found in weights)
    quantity = row.quantity(criterion.name)
    if quantity is None:
        return False
    factor, _ = table_scale(quantity)
    return criterion.holds(row.values[quantity].value, quantity.unit, factor)


def of_accuracy(criterion: Criterion, row: Accuracy) -> bool:
    """True if an accuracy meets a criterion on top-1."""
    return row.top1 is not None and criterion.holds(row.top1.value, SHARE)


def with_own_top1(summary: Summary) -> set[str]:
    """Return the models with a measured top-1."""
    own = filter(attrgetter("top1"), summary.accuracies)
    return {row.model for row in own if not row.arm.baseline}


def with_published_top1(summary: Summary) -> set[str]:
    """Return the models of the rows with a published ImageNet-1k top-1."""
    found = set()
    for row in summary.rows:
        if published.comparable(row.about.timm_name, row.image_size, summary.imported.accuracies):
            found.add(row.model)
    return found


def criteria(alternatives: Alternatives) -> Iterable[Criterion]:
    """Return the criteria of all alternatives."""
    return chain.from_iterable(alternatives)


def sources_of_top1(alternatives: Alternatives, before: Summary, after: Summary) -> list[str]:
    """Return, if `top1` was compared, a line saying which values that were, measured or published.

    `before` and `after` are a summary before and after the choice.
    """
    if not any(map(attrgetter("on_top1"), criteria(alternatives))):
        return []
    left = {row.model for row in after.rows} | {row.model for row in after.accuracies}
    own = with_own_top1(before)
    parts = []
    if measured := sorted(left & own):
        parts.append(f"as measured of {', '.join(measured)}")
    if others := sorted((left & with_published_top1(before)) - own):
        parts.append(f"as published for ImageNet-1k of {', '.join(others)}")
    return [f"--where compared top1 {' and '.join(parts)}"] if parts else []


def kept_rows(alternatives: Alternatives, summary: Summary) -> tuple[list[Row], list[Accuracy]]:
    """Return the rows and accuracies that meet at least one of the alternatives."""
    rows: set[int] = set()
    accuracies: set[int] = set()
    for together in alternatives:
        kept, able = _kept(together, summary)
        rows.update(map(id, kept))
        accuracies.update(map(id, able))
    return (
        [row for row in summary.rows if id(row) in rows],
        [row for row in summary.accuracies if id(row) in accuracies],
    )


def _kept(together: tuple[Criterion, ...], summary: Summary) -> tuple[list[Row], list[Accuracy]]:
    """Return the rows and accuracies that meet all of some criteria.

    A model that is left without rows, or without an accuracy that a criterion is about, loses the
    other kind too.
    """
    on_top1 = list(filter(attrgetter("on_top1"), together))
    on_rows = [one for one in together if not one.on_top1]
    rows = [row for row in summary.rows if _meets_all(partial(of_row, summary), on_rows, row)]
    accuracies = [
        row for row in summary.accuracies if all(of_accuracy(one, row) for one in on_top1)
    ]
    if on_top1:
        able = {row.model for row in accuracies if not row.arm.baseline}
        own = with_own_top1(summary)
        rows = [row for row in rows if _has_top1(summary, on_top1, row, able, own)]
    if on_rows:
        kept = set(map(attrgetter("model"), rows))
        accuracies = [row for row in accuracies if row.model in kept or row.arm.baseline]
    return rows, accuracies


def _has_top1(
    summary: Summary, on_top1: list[Criterion], row: Row, able: set[str], own: set[str]
) -> bool:
    """True if a row's model meets criteria on top-1: by its own if it was measured."""
    if row.model in own:
        return row.model in able
    return _meets_all(partial(of_row, summary), on_top1, row)


def _meets_all(holds: Callable[[Criterion, Row], bool], of: Iterable[Criterion], row: Row) -> bool:
    return all(holds(criterion, row) for criterion in of)
