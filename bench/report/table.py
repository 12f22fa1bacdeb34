"""A table as data: what it says is decided where it is made, how it looks is up to those who write it out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.report.fill import Fill
    from bench.stats.intervals import Estimate

MACS_NOTE = (
    "¹ multiply-adds of convolutions, linear layers and attention (many papers print this as FLOPs; FLOPs are 2 × as many); "
    "norm layers not counted"
)
ARROWS = {"lower": " ↓", "higher": " ↑", "none": ""}
BEST_NOTE = "bold: the best of its column, and what cannot be told from it (by the test of the intervals, Holm-corrected over the column)"


@dataclass(frozen=True)
class Column:
    """A header, and for columns of numbers what `--sort` and `--columns` call them, their unit and direction."""

    name: str
    key: str = ""
    unit: str = ""
    better: str = "none"


@dataclass(frozen=True)
class Cell:
    """What is shown, the number behind it in the column's unit with its 95 % interval, and whether it is the best.

    `fill` is what would have to be measured where there is nothing.
    """

    text: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    best: bool = False
    fill: Fill | None = None

    @classmethod
    def of(cls, text: str, found: Estimate) -> Cell:
        """A number with its interval, in the column's unit."""
        return cls(text, found.value, found.low, found.high)


def slug(text: str) -> str:
    """In letters, digits and underscores: the name of a table's file, of a column on the command line."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:100]


Columns = list["Column | str"]
Line = list["Cell | str"]


class Table:
    """A title, columns, rows of cells, and lines that belong under it. Plain text may stand for a column or a cell."""

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
        self.columns = [
            one if isinstance(one, Column) else Column(one, key=slug(one)) for one in columns
        ]
        self.cells = [[one if isinstance(one, Cell) else Cell(one) for one in row] for row in cells]
        self.notes = list(notes)
        self.published = published
        """What it shows was not measured here."""

    @property
    def headers(self) -> list[str]:
        """The names of the columns."""
        return [column.name for column in self.columns]

    @property
    def rows(self) -> list[list[str]]:
        """The text of the cells."""
        return [[cell.text for cell in row] for row in self.cells]

    def only(self, places: Sequence[int]) -> Table:
        """With some of its columns, in this order."""
        cells = [[row[place] for place in places] for row in self.cells]
        return Table(
            self.title,
            [self.columns[place] for place in places],
            cells,
            self.notes,
            published=self.published,
        )

    def insert(self, place: int, column: Column | str, cells: Sequence[Cell | str]) -> None:
        """One more column, before the one at `place`."""
        new = Table("", [column], [[cell] for cell in cells])
        self.columns.insert(place, new.columns[0])
        for row, more in zip(self.cells, new.cells, strict=True):
            row.insert(place, more[0])

    def add(self, column: Column | str, cells: Sequence[Cell | str]) -> None:
        """One more column, after the others."""
        self.insert(len(self.columns), column, cells)


def marked(cells: list[Cell], best: set[int]) -> list[Cell]:
    """The cells of a column, those at `best` marked; nothing is marked where all would be."""
    if len(best) == sum(cell.value is not None for cell in cells):
        return cells
    return [replace(cell, best=place in best) for place, cell in enumerate(cells)]
