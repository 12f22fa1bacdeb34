"""What a report shows: `--family` and `--where` choose rows, `--sort` orders them, `--columns` chooses columns.

`--where` takes conditions joined by commas or `and`: a name, one of < <= > >= = !=, and a value with its unit, such as
`params<30M, latency<=20ms and family=vit`. A condition on an accuracy chooses among accuracies, one on anything else
among measured rows; a model that is left without rows (or without accuracies) leaves the other kind too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from bench.analysis.rows import Accuracy, Row, Summary
from bench.errors import UsageError
from bench.report.table import Cell, Table
from bench.stats.formatting import unit_of

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": le,
    ">=": ge,
    "!=": ne,
    "<": lt,
    ">": gt,
    "=": eq,
}
TEXT = ("model", "family", "policy", "device")
_CONDITION = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(<=|>=|!=|==|<|>|=)\s*(.+?)\s*")


@dataclass(frozen=True)
class Condition:
    """One comparison, as it was typed."""

    name: str
    operator: str
    value: str

    def holds(self, found: object, unit: str) -> bool:
        """Whether a stored value meets it; UsageError where the value's unit cannot be understood."""
        compare = OPERATORS[self.operator]
        return (
            compare(str(found), self.value)
            if self.name in TEXT
            else compare(found, number(self, unit))
        )


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The four flags, read."""

    families: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    sort: str = ""
    columns: tuple[str, ...] = ()

    @property
    def of_rows(self) -> bool:
        """Whether it leaves anything out but columns."""
        return bool(self.families or self.conditions)

    @property
    def whole(self) -> bool:
        """Whether it chooses nothing: the report as it is."""
        return self == Selection()

    @property
    def described(self) -> str:
        """In words, for the head of what was written."""
        parts = [f"family {', '.join(self.families)}"] if self.families else []
        parts += [f"{one.name} {one.operator} {one.value}" for one in self.conditions]
        parts += [f"sorted by {self.sort}"] if self.sort else []
        parts += [f"columns {', '.join(self.columns)}"] if self.columns else []
        return "; ".join(parts)


def selection(
    *, family: Iterable[str] = (), where: str = "", sort: str = "", columns: Iterable[str] = ()
) -> Selection:
    """Of the flags as typed; UsageError where a condition is none."""
    return Selection(
        families=tuple(family),
        conditions=tuple(_conditions(where)),
        sort=sort,
        columns=tuple(columns),
    )


def _conditions(text: str) -> Iterable[Condition]:
    for part in re.split(r",|\band\b", text):
        if not part.strip():
            continue
        found = _CONDITION.fullmatch(part)
        if not found:
            raise UsageError(
                f'--where: {part.strip()!r} is no condition; "params<30M" or "latency<=20ms, family=vit" would be'
            )
        name, operator, value = found.groups()
        operator = "=" if operator == "==" else operator
        if name in TEXT and operator not in ("=", "!="):
            raise UsageError(f"--where: {name} is text; it can be = or !=, not {operator}")
        yield Condition(name, operator, value)


def number(condition: Condition, unit: str) -> float:
    """The value of a condition in a stored unit."""
    known = unit_of(unit)
    found = re.fullmatch(r"([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(\D*)", condition.value)
    try:
        return float(found[1] if found else "") * known.typed[found[2] if found else ""]
    except (KeyError, ValueError):
        units = ", ".join(one for one in known.typed if one)
        raise UsageError(
            f"--where: {condition.name} cannot be held against {condition.value!r}; "
            f"{known.example} would work (units: {units})"
        ) from None


def names(summary: Summary) -> list[str]:
    """Everything that `--where` can ask about in these records."""
    measured = {
        quantity.metric
        for row in summary.rows
        for quantity in row.values
        if quantity.better != "none"
    }
    return sorted({*TEXT, "image_size", *measured, *(("top1",) if summary.accuracies else ())})


def _families(summary: Summary) -> set[str]:
    return {row.about.family for row in summary.rows} | {
        row.about.family for row in summary.accuracies
    }


def check(chosen: Selection, summaries: list[Summary]) -> None:
    """UsageError where a family or name of the selection is in none of the records."""
    families = sorted(
        {family for summary in summaries for family in _families(summary)} - {"baseline"}
    )
    for name in chosen.families:
        if name not in families:
            raise UsageError(
                f"--family: no model of the family {name!r} in these records; there are {', '.join(families)}"
            )
    known = sorted({name for summary in summaries for name in names(summary)})
    for condition in chosen.conditions:
        if condition.name not in known:
            near = get_close_matches(condition.name, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UsageError(
                f"--where: nothing called {condition.name!r} in these records; {hint}there are {', '.join(known)}"
            )
    if chosen.of_rows and not any(leaves_something(chosen, summary) for summary in summaries):
        raise UsageError(
            f"{'--where' if chosen.conditions else '--family'}: no model in these records meets {chosen.described}"
        )


def leaves_something(chosen: Selection, summary: Summary) -> bool:
    """Whether any model of these records is left."""
    left = select(chosen, summary)
    return bool(left.rows) or any(not row.arm.baseline for row in left.accuracies)


def select(chosen: Selection, summary: Summary) -> Summary:
    """What is left of a machine's records."""
    if not chosen.of_rows:
        return summary
    of_top1 = [one for one in chosen.conditions if one.name == "top1"]
    of_rows = [one for one in chosen.conditions if one.name != "top1"]
    rows = [
        row
        for row in summary.rows
        if _family(chosen, row) and all(_row_meets(row, one) for one in of_rows)
    ]
    accuracies = [
        row
        for row in summary.accuracies
        if _family(chosen, row) and all(_accuracy_meets(row, one) for one in of_top1)
    ]
    if of_top1:
        able = {row.model for row in accuracies if not row.arm.baseline}
        rows = [row for row in rows if row.model in able]
    if of_rows:
        kept = {row.model for row in rows}
        accuracies = [row for row in accuracies if row.model in kept or row.arm.baseline]
    kept_rows = {(row.model, row.image_size) for row in rows}
    best = [row for row in summary.best if (row.model, row.image_size) in kept_rows]
    return replace(summary, rows=rows, best=best, accuracies=accuracies, studied=set())


def _family(chosen: Selection, row: Row | Accuracy) -> bool:
    return not chosen.families or row.about.family in (*chosen.families, "baseline")


def _row_meets(row: Row, condition: Condition) -> bool:
    """A value that is not known meets nothing."""
    if condition.name == "family":
        return condition.holds(row.about.family, "")
    if condition.name in TEXT:
        return condition.holds(getattr(row, condition.name), "")
    if condition.name == "image_size":
        return condition.holds(row.image_size, "px")
    found = row.quantity(condition.name)
    return found is not None and condition.holds(row.values[found].value, found.unit)


def _accuracy_meets(row: Accuracy, condition: Condition) -> bool:
    return row.top1 is not None and condition.holds(row.top1.value, "share")


def check_columns(chosen: Selection, tables: list[Table]) -> None:
    """UsageError where no table has what `--sort` or `--columns` ask for."""
    if chosen.sort:
        _known("--sort", chosen.sort.removeprefix("-"), tables)
    for key in chosen.columns:
        _known("--columns", key, tables)


def arrange(chosen: Selection, tables: list[Table]) -> list[Table]:
    """The tables with the columns that were asked for, in the order that was; a table that has none of them is left out."""
    if chosen.sort:
        key = chosen.sort.removeprefix("-")
        tables = [_sorted(table, key, reverse=chosen.sort.startswith("-")) for table in tables]
    if chosen.columns:
        tables = [table for one in tables if (table := _with_columns(one, chosen.columns))]
    return tables


def _known(flag: str, key: str, tables: list[Table]) -> None:
    keys = sorted({column.key for table in tables for column in table.columns if column.key})
    if key not in keys:
        near = get_close_matches(key, keys, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(
            f"{flag}: no table has a column {key!r}; {hint}there are {', '.join(keys)}"
        )


def _sorted(table: Table, key: str, *, reverse: bool) -> Table:
    """The best first, by the column's own direction; `reverse` the worst first. What has no value comes last."""
    places = [place for place, column in enumerate(table.columns) if column.key == key]
    if not places:
        return table
    place = places[-1]  # of several batch sizes the largest
    numbers = any(row[place].value is not None for row in table.cells)
    falling = (table.columns[place].better != "lower") if numbers else False

    def known(row: list[Cell]) -> bool:
        return row[place].value is not None or (not numbers and bool(row[place].text))

    present, absent = (
        [row for row in table.cells if known(row) is there] for there in (True, False)
    )

    def sort_key(row: list[Cell]) -> Any:
        return row[place].value if numbers else row[place].text

    present.sort(key=sort_key, reverse=falling != reverse)
    return Table(
        table.title, table.columns, [*present, *absent], table.notes, published=table.published
    )


def _with_columns(table: Table, keys: tuple[str, ...]) -> Table | None:
    """The first column, which says what a row is of, and those that were named, in their order."""
    places = [
        place for key in keys for place, column in enumerate(table.columns) if column.key == key
    ]
    return table.only(list(dict.fromkeys([0, *places]))) if places else None
