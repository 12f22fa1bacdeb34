"""Tables as data: where they are made decides their content, where they are written their look."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING

from bench.report.notes import Caveat
from bench.stats.intervals import Estimate

if TYPE_CHECKING:
    from bench.report.fill import Fill

MACS_NOTE = (
    "¹ multiply-adds of convolutions, linear layers and attention (many papers print this as "
    "FLOPs; FLOPs are 2 × as many); norm layers not counted"
)
ARROWS = {"lower": " ↓", "higher": " ↑", "none": ""}
BEST_NOTE = (
    "bold: the best of its column, and values statistically tied with it (by the test of the "
    "intervals, Holm-corrected over the column)"
)


@dataclass(frozen=True)
class Column:
    """A header; for a column of numbers, with its name for `--sort` and `--columns`.

    `key` is that name, `unit` the unit shown, `better` "lower", "higher" or "none".
    """

    name: str
    key: str = ""
    unit: str = ""
    better: str = "none"


@dataclass(frozen=True)
class Cell:
    """A text, and the number behind it in the column's unit with its 95 % interval.

    A published range has ends and no value. `best` marks the best of a column. `fill` says how to
    measure the value of an empty cell.
    """

    text: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    best: bool = False
    fill: Fill | None = None

    @classmethod
    def of(cls, text: str, value: Estimate) -> Cell:
        """Return a cell with a number and its interval, in the column's unit."""
        return cls(text, value.value, value.low, value.high)


def slug(text: str) -> str:
    """Return text in letters, digits and underscores, as for a table's file or a column's key."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:100]


Columns = list["Column | str"]
TableRow = list["Cell | str"]


class Table:
    """A title, columns, rows of cells, and notes below. Text may stand for a column or a cell.

    `published` is True for values that were not measured here.
    """

    def __init__(
        self,
        title: str,
        columns: Sequence[Column | str],
        cells: Sequence[Sequence[Cell | str]],
        notes: Sequence[str] = (),
        *,
        published: bool = False,
    ) -> None:
        self.title = title
        self.columns = list(map(_column, columns))
        self.cells = [list(map(_cell, row)) for row in cells]
        self.notes = list(notes)
        self.published = published

    @property
    def headers(self) -> list[str]:
        """The names of the columns."""
        return list(map(attrgetter("name"), self.columns))

    @property
    def rows(self) -> list[list[str]]:
        """The text of the cells."""
        return [[cell.text for cell in row] for row in self.cells]

    @property
    def caveats(self) -> list[Caveat]:
        """The notes that change how the table is read."""
        return [note for note in self.notes if isinstance(note, Caveat)]

    @property
    def fills(self) -> list[Fill]:
        """How to measure the values of empty cells."""
        cells = chain.from_iterable(self.cells)
        return [cell.fill for cell in cells if cell.fill]

    @property
    def has_best(self) -> bool:
        """True if a cell is marked as the best of its column."""
        return any(map(attrgetter("best"), chain.from_iterable(self.cells)))

    def only(self, places: Sequence[int]) -> Table:
        """Return the table with some of its columns, in the given order."""
        columns = [self.columns[place] for place in places]
        cells = []
        for row in self.cells:
            cells.append([row[place] for place in places])
        return Table(self.title, columns, cells, self.notes, published=self.published)

    def insert(self, place: int, column: Column | str, cells: Iterable[Cell | str]) -> None:
        """Insert a column before the one at `place`."""
        self.columns.insert(place, _column(column))
        for row, cell in zip(self.cells, cells, strict=True):
            row.insert(place, _cell(cell))

    def add(self, column: Column | str, cells: Iterable[Cell | str]) -> None:
        """Add a column after the others."""
        self.insert(len(self.columns), column, cells)


def table_of(title: str, models: Iterable[str]) -> Table:
    """Return a table with one column of models, to which others are added."""
    return Table(title, ["model"], [[model] for model in models])


def _column(column: Column | str) -> Column:
    return column if isinstance(column, Column) else Column(column, key=slug(column))


def _cell(cell: Cell | str) -> Cell:
    return cell if isinstance(cell, Cell) else Cell(cell)


def marked(cells: list[Cell], best: set[int]) -> list[Cell]:
    """Return a column's cells with those at `best` marked; with none marked if all would be."""
    if len(best) == sum(cell.value is not None for cell in cells):
        return cells
    return [replace(cell, best=place in best) for place, cell in enumerate(cells)]
