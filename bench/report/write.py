"""Write reports next to the records: tables in every format, figures and citations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from operator import attrgetter
from pathlib import Path

from bench.analysis import grade
from bench.analysis.machines import MachineRecords, read, read_all
from bench.analysis.rows import Summary
from bench.claims.rules import Verdict
from bench.claims.verdicts import verdicts
from bench.errors import UsageError
from bench.files.files import sweep_folder, write_whole
from bench.files.paths import inside, stems
from bench.report import citations, formats
from bench.report.figures import DrawingJob, draw_all, figure_names
from bench.report.selection import (
    Selection,
    arrange,
    check,
    check_columns,
    leaves_something,
    select,
)
from bench.report.table import Table
from bench.report.tables.machines import side_by_side
from bench.report.tables.reading_order import all_tables
from bench.report.tables.speed_gap import gaps
from bench.report.tables.verdicts import details, overview
from bench.report.written_files import TABLES, settle

SUMMARY = attrgetter("summary")
WHOLE = Selection()
SELECTED = "selection"
"""The folder, within a machine's, of a report with flags that choose; the whole report stays."""


@dataclass(frozen=True)
class Report:
    """The report of one machine, as written."""

    folder: Path
    summary: Summary
    tables: list[Table]
    figures: list[Path]
    damaged: list[UsageError]
    verdicts: list[Verdict]
    everything: Summary
    """The summary including what was measured for studies only."""
    unknown: list[Path]
    """Tables from before reports kept a list of their files; they are left alone."""

    @property
    def graded(self) -> Summary:
        """The speeds that a grade is of: those of the report, or without any, those of studies."""
        return self.summary if grade.grades(self.summary) else self.everything


def write_all(results: Path, chosen: Selection = WHOLE) -> tuple[list[Report], list[Table]]:
    """Write the reports of all machines; return them, and the tables that compare machines.

    Raises UsageError, before anything is written, if `chosen` names something unknown.
    """
    machines = read_all(results)
    check(chosen, list(map(SUMMARY, machines)))
    if not chosen.whole:
        machines = [machine for machine in machines if leaves_something(chosen, machine.summary)]
    reports = _written(machines, chosen)
    between = list(side_by_side(list(map(SUMMARY, reports))))
    if between and chosen.whole:
        parts = ["# Machines side by side", *map(formats.markdown, between)]
        write_whole(results / "machines.md", ("\n\n".join(parts) + "\n").encode())
    return reports, between


def write(folder: Path) -> Report:
    """Write the whole report of one machine; the result names damaged records, left out."""
    [report] = _written([read(folder)], WHOLE)
    return report


def _written(machines: list[MachineRecords], chosen: Selection) -> list[Report]:
    # All tables first, so that a wrong name is reported before anything is written.
    tables = list(map(partial(tables_of, chosen), machines))
    check_columns(chosen, list(chain.from_iterable(tables)))
    found = list(map(partial(_verdicts, chosen), machines))
    jobs = list(map(partial(_job, chosen), machines))
    for machine, job in zip(machines, jobs, strict=True):
        _prepare(machine.folder, job.folder)
    drawn = draw_all(jobs)
    reports = []
    for parts in zip(machines, jobs, tables, found, drawn, strict=True):
        reports.append(_write(*parts, chosen))
    return reports


def _job(chosen: Selection, machine: MachineRecords) -> DrawingJob:
    folder = machine.folder if chosen.whole else machine.folder / SELECTED
    return DrawingJob(folder, select(chosen, machine.summary), select(chosen, machine.everything))


def _prepare(machine: Path, folder: Path) -> None:
    """Make the folders of a report; UsageError if a link leads out of the machine's folder."""
    for one in (folder, folder / TABLES):
        inside(machine, one).mkdir(exist_ok=True)
        sweep_folder(one)


def _verdicts(chosen: Selection, machine: MachineRecords) -> list[Verdict]:
    """Return the verdicts if any study was measured; none for a selection: they rest on all."""
    if not machine.everything.studied or not chosen.whole:
        return []
    found = verdicts(machine.everything)
    return found if any(one.outcome != "not measured" for one in found) else []


def tables_of(chosen: Selection, machine: MachineRecords) -> list[Table]:
    """Return the tables of one machine, before they are sorted and cut to columns."""
    tables = all_tables(select(chosen, machine.summary))
    return [*tables, *gaps(machine.everything)] if chosen.whole else tables


def _write(
    machine: MachineRecords,
    job: DrawingJob,
    plain: list[Table],
    found: list[Verdict],
    drawn: list[Path],
    chosen: Selection,
) -> Report:
    tables = [*arrange(chosen, plain), *overview(found)]
    written = _write_tables(job.folder / TABLES, tables)
    text = markdown(job.summary, [*tables, *details(found)], drawn, chosen, job.everything)
    write_whole(job.folder / "methods.tex", citations.methods(job.summary).encode())
    write_whole(job.folder / "references.bib", citations.bibliography(job.summary).encode())
    write_whole(job.folder / "report.md", text.encode())
    unknown = settle(job.folder, [*written, *drawn], figure_names())
    return Report(
        folder=job.folder,
        summary=job.summary,
        tables=tables,
        figures=drawn,
        damaged=machine.damaged,
        verdicts=found,
        everything=job.everything,
        unknown=unknown,
    )


def _write_tables(folder: Path, tables: list[Table]) -> list[Path]:
    """Write each table as CSV and LaTeX, and return the files."""
    written = []
    names = stems(map(attrgetter("title"), tables))
    for table, stem in zip(tables, names, strict=True):
        for suffix, text in ((".csv", formats.csv_text(table)), (".tex", formats.latex(table))):
            path = folder / f"{stem}{suffix}"
            write_whole(path, text.encode())
            written.append(path)
    return written


def markdown(
    summary: Summary,
    tables: list[Table],
    drawn: list[Path],
    chosen: Selection = WHOLE,
    everything: Summary | None = None,
) -> str:
    """Return the report as Markdown.

    `everything` includes what was measured for studies only; its grade is shown if `summary` has
    none.
    """
    trust = grade.lines(summary) or (grade.lines(everything) if everything else [])
    head = _head(summary, trust, chosen)
    parts = [*head, *map(formats.markdown, tables), *_figures(drawn), *_notes(summary)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _head(summary: Summary, trust: list[str], chosen: Selection) -> Iterator[str]:
    """Yield the machine's name, the grade of its speeds, its hardware and versions."""
    machine = summary.machine
    yield f"# {formats.in_markdown(machine.name)}"
    for line in trust:
        yield f"**{formats.in_item(line)}**"
    memory = f"{machine.memory_bytes / 1e9:.0f} GB"
    versions = ", ".join(map(" ".join, machine.versions.items()))
    yield formats.in_item(f"{machine.hardware}, {machine.cores} cores, {memory}; {versions}")
    if not chosen.whole:
        described = formats.in_markdown(chosen.described)
        yield f"A selection: {described}. The whole report is one folder above."


def _figures(drawn: list[Path]) -> Iterator[str]:
    if drawn:
        yield "## Figures"
    for path in drawn:
        if path.suffix == ".png":
            yield f"![{path.stem}]({path.name})"


def _notes(summary: Summary) -> Iterator[str]:
    if summary.notes:
        yield "## Notes"
        yield formats.in_list(summary.notes)
