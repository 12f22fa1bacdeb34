"""Records to a report: tables in every format, figures and what a paper cites, beside the records. Measures nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.analysis import grade
from bench.analysis.machines import Machine, read, read_all
from bench.analysis.rows import Summary
from bench.claims.rules import Verdict
from bench.claims.verdicts import verdicts
from bench.errors import UsageError
from bench.files.files import sweep_folder, write_whole
from bench.files.paths import inside, stems
from bench.report import citations, formats
from bench.report.figures import Job, draw_all
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

SELECTED = "selection"
"""Folder, within a machine's, of what was chosen by flags: the whole report beside it stays as it is."""


@dataclass(frozen=True)
class Report:
    """What was written for one machine."""

    folder: Path
    summary: Summary
    tables: list[Table]
    figures: list[Path]
    damaged: list[UsageError]
    verdicts: list[Verdict]
    everything: Summary
    """With what was measured for studies alone."""
    unknown: list[Path]
    """Tables that lay there before reports kept a list of their files; they are left alone."""

    @property
    def graded(self) -> Summary:
        """The speeds that a grade is of: those of the report, or where it has none those of studies."""
        return self.summary if grade.grades(self.summary) else self.everything


def write_all(results: Path, chosen: Selection = Selection()) -> tuple[list[Report], list[Table]]:  # noqa: B008 - frozen
    """The reports of all machines, and the tables that hold machines against each other."""
    machines = read_all(results)
    check(chosen, [machine.summary for machine in machines])
    if not chosen.whole:
        machines = [machine for machine in machines if leaves_something(chosen, machine.summary)]
    reports = _written(machines, chosen)
    between = list(side_by_side([report.summary for report in reports]))
    if between and chosen.whole:
        write_whole(
            results / "machines.md",
            (
                "# Machines side by side\n\n" + "\n\n".join(map(formats.markdown, between)) + "\n"
            ).encode(),
        )
    return reports, between


def write(folder: Path) -> Report:
    """The whole report of one machine; damaged records are left out and named in the result."""
    [report] = _written([read(folder)], Selection())
    return report


def _written(machines: list[Machine], chosen: Selection) -> list[Report]:
    """All tables first, so that a wrong name is told before anything is written; then all figures at once."""
    tables = [_tables(machine, chosen) for machine in machines]
    check_columns(chosen, [table for found in tables for table in found])
    found = [_verdicts(machine, chosen) for machine in machines]
    folders = [
        machine.folder if chosen.whole else machine.folder / SELECTED for machine in machines
    ]
    for machine, folder in zip(machines, folders, strict=True):
        _prepare(machine.folder, folder)
    jobs = [
        Job(folder, select(chosen, machine.summary), select(chosen, machine.everything))
        for machine, folder in zip(machines, folders, strict=True)
    ]
    drawn = draw_all(jobs)
    return [
        _write(*parts, chosen) for parts in zip(machines, jobs, tables, found, drawn, strict=True)
    ]


def _prepare(machine: Path, folder: Path) -> None:
    """Make the folders of a report; UsageError where a link leads out of the machine's."""
    for one in (folder, folder / TABLES):
        inside(machine, one).mkdir(exist_ok=True)
        sweep_folder(one)


def _verdicts(machine: Machine, chosen: Selection) -> list[Verdict]:
    """Verdicts are of all that was measured: they have no place in a selection."""
    return verdicts(machine.everything) if machine.everything.studied and chosen.whole else []


def _tables(machine: Machine, chosen: Selection) -> list[Table]:
    summary = select(chosen, machine.summary)
    tables = all_tables(summary)
    return [*tables, *gaps(machine.everything)] if chosen.whole else tables


def _write(
    machine: Machine,
    job: Job,
    plain: list[Table],
    found: list[Verdict],
    drawn: list[Path],
    chosen: Selection,
) -> Report:
    tables = [*arrange(chosen, plain), *overview(found)]
    written = _write_tables(job.folder / TABLES, tables)
    write_whole(job.folder / "methods.tex", citations.methods(job.summary).encode())
    write_whole(job.folder / "references.bib", citations.bibliography(job.summary).encode())
    write_whole(
        job.folder / "report.md",
        markdown(job.summary, [*tables, *details(found)], drawn, chosen, job.everything).encode(),
    )
    unknown = settle(job.folder, [*written, *drawn])
    return Report(
        job.folder, job.summary, tables, drawn, machine.damaged, found, job.everything, unknown
    )


def _write_tables(folder: Path, tables: list[Table]) -> list[Path]:
    """Each table as CSV and LaTeX."""
    written = []
    for table, stem in zip(tables, stems(table.title for table in tables), strict=True):
        for suffix, text in ((".csv", formats.csv_text(table)), (".tex", formats.latex(table))):
            path = folder / f"{stem}{suffix}"
            write_whole(path, text.encode())
            written.append(path)
    return written


def markdown(
    summary: Summary,
    tables: list[Table],
    drawn: list[Path],
    chosen: Selection = Selection(),  # noqa: B008 - frozen
    everything: Summary | None = None,
) -> str:
    """The report as Markdown. `everything`: with what was measured for studies alone, whose grade stands where there is no other."""
    machine = summary.machine
    trust = grade.lines(summary) or (grade.lines(everything) if everything else [])
    parts = [
        f"# {formats.in_markdown(machine.name)}",
        *(f"**{formats.in_item(line)}**" for line in trust),
        formats.in_item(
            f"{machine.hardware}, {machine.cores} cores, {machine.memory_bytes / 1e9:.0f} GB; "
            + ", ".join(f"{name} {version}" for name, version in machine.versions.items())
        ),
    ]
    if not chosen.whole:
        parts.append(
            f"A selection: {formats.in_markdown(chosen.described)}. The whole report lies one folder above."
        )
    parts += [formats.markdown(table) for table in tables]
    if drawn:
        parts.append("## Figures")
        parts += [f"![{path.stem}]({path.name})" for path in drawn if path.suffix == ".png"]
    if summary.notes:
        parts += ["## Notes", "\n".join(f"- {formats.in_item(note)}" for note in summary.notes)]
    return "\n\n".join(part for part in parts if part) + "\n"
