"""Choose what a report shows: `--family`, `--where`, `--sort` and `--columns`.

where.py has the conditions of `--where`. One on top-1 chooses accuracies, any other
measured rows; a model that is left without rows (or without accuracies) loses the other kind too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from itertools import chain, filterfalse
from operator import attrgetter
from typing import Any

from bench.analysis.rows import Accuracy, Row, Summary, ranked_quantities
from bench.errors import UsageError
from bench.report.columns import TOP1, TOP1_PUBLISHED
from bench.report.selection.where import (
    TEXT,
    Alternatives,
    Criterion,
    criteria,
    kept_rows,
    parsed,
    sources_of_top1,
    with_published_top1,
)
from bench.report.table import Cell, Table


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The values of the four flags."""

    families: tuple[str, ...] = ()
    where: Alternatives = ()
    """The conditions of `--where`; at least one of the alternatives has to hold."""
    sort: str = ""
    columns: tuple[str, ...] = ()

    @property
    def of_rows(self) -> bool:
        """True if rows are left out."""
        return bool(self.families or self.where)

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
        if self.where:
            yield " or ".join(map(_together, self.where))
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
        where=parsed(where),
        sort=sort,
        columns=tuple(columns),
    )


def _together(together: Iterable[Criterion]) -> str:
    return " and ".join(map(attrgetter("text"), together))


def names(summary: Summary) -> list[str]:
    """Return every name that `--where` can use with these records."""
    measured = map(attrgetter("metric"), ranked_quantities(summary.rows))
    known = {*TEXT, "image_size", *measured}
    if with_published_top1(summary):
        known |= {TOP1, TOP1_PUBLISHED}
    if summary.accuracies:
        known.add(TOP1)
    return sorted(known)


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
    for criterion in criteria(chosen.where):
        if criterion.name not in known:
            raise UsageError(
                f"--where: nothing called {criterion.name!r} in these records; "
                f"{_there_are(criterion.name, known)}"
            )
    if chosen.of_rows and not any(leaves_something(chosen, summary) for summary in summaries):
        flag = "--where" if chosen.where else "--family"
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
    rows = list(filter(partial(_of_families, chosen), summary.rows))
    accuracies = list(filter(partial(_of_families, chosen), summary.accuracies))
    if chosen.where:
        of_families = replace(summary, rows=rows, accuracies=accuracies)
        rows, accuracies = kept_rows(chosen.where, of_families)
    shapes = set(map(attrgetter("shape"), rows))
    best = [row for row in summary.best if row.shape in shapes]
    left = replace(summary, rows=rows, best=best, accuracies=accuracies, studied=set())
    notes = [*summary.notes, *sources_of_top1(chosen.where, summary, left)]
    return replace(left, notes=notes)


def _of_families(chosen: Selection, row: Row | Accuracy) -> bool:
    return not chosen.families or row.family in (*chosen.families, "baseline")


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
