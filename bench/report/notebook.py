"""A report as an object for a notebook: it shows itself, and draws its figures on request.

    import bench

    report = bench.report("results", where="params<30M", sort="latency")
    report                                  # the grade, then the tables
    report.figure("pareto_throughput")      # a matplotlib figure
    report.table("Efficiency").frame        # a pandas DataFrame
    print(report.table("Efficiency").latex)

Nothing is written.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.analysis import grade
from bench.analysis.machines import MachineRecords, one_or_all
from bench.claims.answers import answers
from bench.claims.verdicts import verdicts
from bench.errors import UsageError
from bench.plugins import figures
from bench.report import formats
from bench.report.findings import paper_screen
from bench.report.one_figure import draw_one
from bench.report.selection import (
    Selection,
    arrange,
    check,
    check_columns,
    leaves_something,
    select,
    selection,
)
from bench.report.table import Table
from bench.report.tables.verdicts import brief
from bench.report.write import tables_of

if TYPE_CHECKING:
    import pandas


def report(
    path: str | Path = "results",
    *,
    family: str | Iterable[str] = (),
    where: str = "",
    sort: str = "",
    columns: str | Iterable[str] = (),
) -> NotebookReport:
    """Return the report on a results folder, or on the folder of one machine.

    The other arguments choose as the flags of `bench report` do. A damaged record is left out with
    a warning that names it.

    Raises UsageError if there are no records, or nothing of what is asked for.
    """
    chosen = selection(family=_names(family), where=where, sort=sort, columns=_names(columns))
    machines = one_or_all(Path(path))
    for error in (error for machine in machines for error in machine.damaged):
        warnings.warn(f"left out: {error}", stacklevel=2)
    check(chosen, [machine.summary for machine in machines])
    kept = [one for one in machines if chosen.whole or leaves_something(chosen, one.summary)]
    if not chosen.whole:
        check_columns(chosen, list(chain.from_iterable(tables_of(chosen, one) for one in kept)))
    return NotebookReport(tuple(kept), chosen)


def _names(given: str | Iterable[str]) -> list[str]:
    """Return names that are given as a list, or with commas as on the command line."""
    parts = given.split(",") if isinstance(given, str) else given
    return [part.strip() for part in parts if part.strip()]


@dataclass(frozen=True)
class ShownTable:
    """One table; a notebook shows it with its notes."""

    table: Table

    @property
    def title(self) -> str:
        """The heading of the table."""
        return self.table.title

    @property
    def frame(self) -> pandas.DataFrame:
        """The table as a DataFrame: numbers in full precision, in the unit of their column."""
        import pandas

        return pandas.read_csv(io.StringIO(formats.csv_text(self.table)))

    @property
    def latex(self) -> str:
        """The table as LaTeX, for booktabs."""
        return formats.latex(self.table)

    def __repr__(self) -> str:
        return f"{self.title}: {len(self.table.cells)} rows"

    def _repr_html_(self) -> str:
        return formats.html(self.table)


@dataclass(frozen=True)
class ShownText:
    """Lines of text; a notebook shows them in a fixed width."""

    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def _repr_html_(self) -> str:
        return f"<pre>{formats.in_html(str(self))}</pre>"


@dataclass(frozen=True, eq=False)
class NotebookReport:
    """What records say of one machine or several; `report["NAME"]` is the part of one machine."""

    _machines: tuple[MachineRecords, ...]
    _chosen: Selection

    @property
    def machines(self) -> list[str]:
        """The names of the machines."""
        return [machine.folder.name for machine in self._machines]

    def __getitem__(self, name: str) -> NotebookReport:
        found = tuple(machine for machine in self._machines if machine.folder.name == name)
        if not found:
            raise KeyError(f"no machine {name!r}; there are {', '.join(self.machines)}")
        return replace(self, _machines=found)

    @property
    def grades(self) -> dict[str, list[str]]:
        """By machine, whether its speeds can be used, in words."""
        machines = self._machines
        return {machine.folder.name: _grade(machine, self._chosen) for machine in machines}

    @cached_property
    def tables(self) -> list[ShownTable]:
        """All tables, machine by machine in reading order."""
        return [table for machine in self._machines for table in self._tables(machine)]

    def table(self, beginning: str) -> ShownTable:
        """Return the first table whose title begins like this.

        Raises UsageError, with the titles that there are, if there is none.
        """
        for shown in self.tables:
            if shown.title.lower().startswith(beginning.lower()):
                return shown
        titles = "; ".join(dict.fromkeys(shown.title for shown in self.tables))
        raise UsageError(f"no table begins with {beginning!r}; there are: {titles}")

    @property
    def paper(self) -> ShownText:
        """The claims of the paper with their verdicts, as `bench paper` prints them."""
        return ShownText(tuple(paper_screen(answers(self._machines))))

    @property
    def figures(self) -> list[str]:
        """What the names of figures are or begin with; not all can be drawn from any records."""
        return [entry.prefix for entry in figures.entries()]

    def figure(self, name: str) -> Any:
        """Return a matplotlib figure, such as that of `pareto_throughput`.

        Raises UsageError, with the names that there are, if it does not name one figure.
        """
        drawn = draw_one(name, self._machines, self._chosen)
        # A notebook shows figures by itself only if pyplot made them.
        drawn._repr_png_ = partial(_png, drawn)
        return drawn

    def __repr__(self) -> str:
        return f"report on {', '.join(self.machines)}: {len(self.tables)} tables"

    def _repr_html_(self) -> str:
        parts: list[str] = []
        for machine in self._machines:
            parts.append(f"<h3>{formats.in_html(machine.folder.name)}</h3>")
            for line in _grade(machine, self._chosen):
                parts.append(f"<p><strong>{formats.in_html(line)}</strong></p>")
            parts += [table._repr_html_() for table in self._tables(machine)]
        return "\n".join(parts)

    def _tables(self, machine: MachineRecords) -> list[ShownTable]:
        tables = arrange(self._chosen, tables_of(self._chosen, machine))
        if self._chosen.whole and machine.everything.studied:
            tables += brief(verdicts(machine.everything))
        return list(map(ShownTable, tables))


def _grade(machine: MachineRecords, chosen: Selection) -> list[str]:
    """Return whether the speeds of a report can be used; without any, those of studies."""
    return grade.lines(select(chosen, machine.summary)) or grade.lines(machine.everything)


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
