"""Choose what a report shows: `--family`, `--where`, `--sort` and `--columns`.

`--where` takes conditions joined by commas or `and`: a name, one of < <= > >= = !=, and a value
with its unit, such as `params<30M, latency<=20ms and family=vit`. A condition on an accuracy
chooses accuracies, any other one measured rows; a model that is left without rows (or without
accuracies) loses the other kind too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from itertools import chain, filterfalse
from operator import attrgetter, eq, ge, gt, le, lt, ne
from typing import Any

from bench.analysis.rows import Accuracy, Row, Summary, ranked_quantities
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
"""Names whose values are text."""
_CRITERION = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(<=|>=|!=|==|<|>|=)\s*(.+?)\s*")


@dataclass(frozen=True)
class Criterion:
    """One comparison of `--where`, as typed."""

    name: str
    operator: str
    value: str

    def holds(self, stored: object, unit: str) -> bool:
        """True if a stored value meets the criterion; UsageError for a unit that does not fit."""
        compare = OPERATORS[self.operator]
        if self.name in TEXT:
            return compare(str(stored), self.value)
        return compare(stored, number(self, unit))


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The values of the four flags."""

    families: tuple[str, ...] = ()
    conditions: tuple[Criterion, ...] = ()
    sort: str = ""
    columns: tuple[str, ...] = ()

    @property
    def of_rows(self) -> bool:
        """True if rows are left out."""
        return bool(self.families or self.conditions)

    @property
    def whole(self) -> bool:
        """True if nothing is chosen: the report is whole."""
        return self == Selection()

    @property
    def described(self) -> str:
        """The selection in words, for the head of the report."""
        return "; ".join(self._parts())

    def _parts(self) -> Iterator[str]:
        if self.families:
            yield f"family {', '.join(self.families)}"
        for one in self.conditions:
            yield f"{one.name} {one.operator} {one.value}"
        if self.sort:
            yield f"sorted by {self.sort}"
        if self.columns:
            yield f"columns {', '.join(self.columns)}"


def selection(
    *, family: Iterable[str] = (), where: str = "", sort: str = "", columns: Iterable[str] = ()
) -> Selection:
    """Return the selection of flags as typed; UsageError if `where` cannot be read."""
    return Selection(
        families=tuple(family),
        conditions=tuple(_criteria(where)),
        sort=sort,
        columns=tuple(columns),
    )


def _criteria(text: str) -> Iterator[Criterion]:
    for part in re.split(r",|\band\b", text):
        if not part.strip():
            continue
        found = _CRITERION.fullmatch(part)
        if not found:
            raise UsageError(
                f"--where: cannot read {part.strip()!r}; write conditions such as "
                '"params<30M" or "latency<=20ms, family=vit"'
            )
        name, operator, value = found.groups()
        operator = "=" if operator == "==" else operator
        if name in TEXT and operator not in ("=", "!="):
            raise UsageError(f"--where: {name} is text, so use = or != instead of {operator}")
        yield Criterion(name, operator, value)


def number(criterion: Criterion, unit: str) -> float:
    """Return the value of a criterion in a stored unit; UsageError for a unit that does not fit."""
    known = unit_of(unit)
    found = re.fullmatch(r"([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(\D*)", criterion.value)
    try:
        return float(found[1] if found else "") * known.typed[found[2] if found else ""]
    except (KeyError, ValueError):
        units = ", ".join(filter(None, known.typed))
        raise UsageError(
            f"--where: {criterion.name} cannot be compared with {criterion.value!r}; "
            f"{known.example} would work (units: {units})"
        ) from None


def names(summary: Summary) -> list[str]:
    """Return every name that `--where` can use with these records."""
    measured = map(attrgetter("metric"), ranked_quantities(summary.rows))
    return sorted({*TEXT, "image_size", *measured, *(("top1",) if summary.accuracies else ())})


def _families(summary: Summary) -> set[str]:
    return set(map(attrgetter("family"), (*summary.rows, *summary.accuracies)))


def check(chosen: Selection, summaries: list[Summary]) -> None:
    """Raise UsageError if a selection names something unknown, or no model meets it."""
    families = sorted(set(chain.from_iterable(map(_families, summaries))) - {"baseline"})
    for name in chosen.families:
        if name not in families:
            raise UsageError(
                f"--family: no model of the family {name!r} in these records; there are "
                f"{', '.join(families)}"
            )
    known = sorted(set(chain.from_iterable(map(names, summaries))))
    for criterion in chosen.conditions:
        if criterion.name not in known:
            raise UsageError(
                f"--where: nothing called {criterion.name!r} in these records; "
                f"{_there_are(criterion.name, known)}"
            )
    if chosen.of_rows and not any(leaves_something(chosen, summary) for summary in summaries):
        flag = "--where" if chosen.conditions else "--family"
        raise UsageError(f"{flag}: no model in these records meets {chosen.described}")


def _there_are(name: str, known: list[str]) -> str:
    """Return the end of a message on an unknown name: the nearest known one, and all."""
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{hint}there are {', '.join(known)}"


def leaves_something(chosen: Selection, summary: Summary) -> bool:
    """True if a model of these records is left."""
    left = select(chosen, summary)
    return bool(left.rows) or any(not row.arm.baseline for row in left.accuracies)


def select(chosen: Selection, summary: Summary) -> Summary:
    """Return the rows and accuracies of a machine's records that meet a selection."""
    if not chosen.of_rows:
        return summary
    rows = list(filter(partial(_row_meets, chosen), summary.rows))
    accuracies = list(filter(partial(_accuracy_meets, chosen), summary.accuracies))
    if any(map(_is_on_accuracy, chosen.conditions)):
        able = {row.model for row in accuracies if not row.arm.baseline}
        rows = [row for row in rows if row.model in able]
    if not all(map(_is_on_accuracy, chosen.conditions)):
        kept = set(map(attrgetter("model"), rows))
        accuracies = [row for row in accuracies if row.model in kept or row.arm.baseline]
    shapes = set(map(attrgetter("shape"), rows))
    best = [row for row in summary.best if row.shape in shapes]
    return replace(summary, rows=rows, best=best, accuracies=accuracies, studied=set())


def _is_on_accuracy(criterion: Criterion) -> bool:
    """True if a criterion chooses accuracies; the others choose rows."""
    return criterion.name == "top1"


def _of_families(chosen: Selection, row: Row | Accuracy) -> bool:
    return not chosen.families or row.family in (*chosen.families, "baseline")


def _row_meets(chosen: Selection, row: Row) -> bool:
    on_rows = filterfalse(_is_on_accuracy, chosen.conditions)
    return _of_families(chosen, row) and all(_holds_of_row(one, row) for one in on_rows)


def _holds_of_row(criterion: Criterion, row: Row) -> bool:
    """True if a row meets a criterion; an unknown value meets none."""
    if criterion.name == "family":
        return criterion.holds(row.family, "")
    if criterion.name in TEXT:
        return criterion.holds(getattr(row, criterion.name), "")
    if criterion.name == "image_size":
        return criterion.holds(row.image_size, "px")
    quantity = row.quantity(criterion.name)
    return quantity is not None and criterion.holds(row.values[quantity].value, quantity.unit)


def _accuracy_meets(chosen: Selection, row: Accuracy) -> bool:
    on_accuracies = filter(_is_on_accuracy, chosen.conditions)
    return _of_families(chosen, row) and all(_holds_of_accuracy(one, row) for one in on_accuracies)


def _holds_of_accuracy(criterion: Criterion, row: Accuracy) -> bool:
    return row.top1 is not None and criterion.holds(row.top1.value, "share")


def check_columns(chosen: Selection, tables: list[Table]) -> None:
    """Raise UsageError if no table has a column that `--sort` or `--columns` names."""
    if chosen.sort:
        _check_key("--sort", chosen.sort.removeprefix("-"), tables)
    for key in chosen.columns:
        _check_key("--columns", key, tables)


def arrange(chosen: Selection, tables: list[Table]) -> list[Table]:
    """Return the tables sorted, with the chosen columns in their order.

    A table with none of the chosen columns is left out.
    """
    if chosen.sort:
        tables = list(map(partial(_sorted, chosen.sort), tables))
    if chosen.columns:
        tables = list(filter(None, map(partial(_with_columns, chosen.columns), tables)))
    return tables


def _check_key(flag: str, key: str, tables: list[Table]) -> None:
    columns = chain.from_iterable(map(attrgetter("columns"), tables))
    keys = sorted(set(map(attrgetter("key"), columns)) - {""})
    if key not in keys:
        raise UsageError(f"{flag}: no table has a column {key!r}; {_there_are(key, keys)}")


def _sorted(sort: str, table: Table) -> Table:
    """Return a table sorted by a column in its own direction, best first; worst first after `-`.

    Rows without a value come last. Of several batch sizes the largest counts.
    """
    places = _places(table, sort.removeprefix("-"))
    if not places:
        return table
    place = places[-1]
    better = table.columns[place].better
    numbers = any(_number(row[place], better) is not None for row in table.cells)
    falling = numbers and better != "lower"

    def value(row: list[Cell]) -> Any:
        return _number(row[place], better) if numbers else row[place].text or None

    def is_known(row: list[Cell]) -> bool:
        return value(row) is not None

    reverse = falling != sort.startswith("-")
    present = sorted(filter(is_known, table.cells), key=value, reverse=reverse)
    cells = [*present, *filterfalse(is_known, table.cells)]
    return Table(table.title, table.columns, cells, table.notes, published=table.published)


def _number(cell: Cell, better: str) -> float | None:
    """Return a cell's value; of a range, which has none, the better end."""
    if cell.value is not None:
        return cell.value
    return cell.low if better == "lower" else cell.high


def _places(table: Table, key: str) -> list[int]:
    """Return the places of the columns with a key."""
    return [place for place, column in enumerate(table.columns) if column.key == key]


def _with_columns(keys: tuple[str, ...], table: Table) -> Table | None:
    """Return the first column, which names the rows, and the chosen ones; None without any."""
    places = list(chain.from_iterable(map(partial(_places, table), keys)))
    return table.only(list(dict.fromkeys([0, *places]))) if places else None
