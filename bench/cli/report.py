"""`bench report`, `claim` and `compare`: what records say, without measuring anything."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bench.analysis import changes, grade
from bench.analysis.machines import one_or_all, read_all
from bench.claims.answers import ClaimAnswer, answers
from bench.claims.comparison import HOLDING, answer
from bench.claims.rules import Verdict
from bench.cli.console import (
    Terminal,
    complain_about,
    counted,
    may_be_ranked,
    print_answer,
    print_tables,
    print_words,
)
from bench.cli.options import NotesFlag, ResultsFlag, share
from bench.cli.terminal import complain, say
from bench.config import COMMAND, HOW, WHAT, Names, Plain, Switch
from bench.errors import UsageError
from bench.report import formats
from bench.report.findings import check_target, paper_screen, screen, write_findings
from bench.report.one_figure import check_figure_file, draw_one, save_one
from bench.report.page import write_page
from bench.report.selection import Selection, check, selection
from bench.report.table import Table
from bench.report.tables.changes import can_tell, outcomes
from bench.report.tables.changes import changes as changes_table
from bench.report.tables.comparison import claim_tables, save, sentence
from bench.report.tables.verdicts import TITLE, brief
from bench.report.write import Report, write_all

TEXT_FORMATS: dict[str, Callable[[Table], str]] = {
    "markdown": formats.markdown,
    "csv": formats.csv_text,
    "latex": formats.latex,
}


def report(
    *,
    results: ResultsFlag = Path("results"),
    family: Annotated[Names, WHAT] = (),
    where: Annotated[str, Plain, WHAT] = "",
    sort: Annotated[str, Plain, WHAT] = "",
    columns: Annotated[Names, WHAT] = (),
    figure: Annotated[str, Plain, WHAT] = "",
    out: Annotated[Path | None, Plain, WHAT] = None,
    format: Annotated[Literal["console", "markdown", "csv", "latex"], HOW] = "console",
    notes: Annotated[NotesFlag, HOW] = False,
    page: Annotated[bool, HOW] = True,
    strict: Annotated[Switch, HOW] = False,
) -> int:
    """Render tables, figures and a page from records.

    Parameters
    ----------
    family
        Show only these families, comma separated. With this or one of the next three flags, files
        go into the subfolder `selection` of each machine's folder.
    where
        Show only what meets these conditions, such as "top1>79% and latency<100ms or params<30M".
        `and` binds tighter than `or`; a number without a unit is in its column's unit. top1 is the
        measured one, and the published one of models without; top1_published is always that.
    sort
        Sort rows, the best first: throughput, latency, params, top1 ...; -throughput puts the worst
        first.
    columns
        Show only these columns, comma separated, in this order.
    format
        How to print tables. Files are written in all formats in any case.
    page
        Write report.html, one page for all machines.
    strict
        Exit with 1 if a machine's speeds must not be ranked, because its A/A check or drift check
        failed or is missing, or other programs were using the CPU.
    figure
        Draw one figure and nothing else, such as pareto_throughput; with --out. --results may name
        the folder of one machine.
    out
        File of that figure: .pdf, .png or .svg.
    """
    chosen = selection(family=family, where=where, sort=sort, columns=columns)
    if figure or out is not None:
        return _one_figure(results, figure, out, chosen)
    reports, between = write_all(results, chosen)
    damaged = _print_all(reports, between, format, notes=notes)
    if page and chosen.whole:
        path = write_page(results, reports)
        if format == "console":
            print_words(Terminal.on_stdout(), f"{path} written; open it in a browser")
    failed = strict and not all(may_be_ranked(written.graded) for written in reports)
    if failed:
        complain("--strict: speeds must not be ranked; the first line of each machine says why")
    return 2 if damaged else int(failed)


def _print_all(reports: list[Report], between: list[Table], format: str, *, notes: bool) -> int:
    """Print the reports of all machines; return the number of damaged records, which are named."""
    console = Terminal.on_stdout()
    damaged = 0
    for written in reports:
        tables = [*written.tables, *(between if written is reports[-1] else ())]
        if format == "console":
            _show(console, written, tables, notes=notes)
        else:
            _print_text(written, tables, TEXT_FORMATS[format])
        damaged += _complain_about_files(written)
    if reports:
        damaged += complain_about(reports[0].summary.imported.problems)
    return damaged


def _one_figure(results: Path, name: str, out: Path | None, chosen: Selection) -> int:
    """Draw one figure into a file; exit with 2 if a damaged record had to be left out."""
    if out is None:
        raise UsageError(f"--figure: into which file? add --out {name}.pdf, or .png or .svg")
    if not name:
        raise UsageError("--out: which figure? add --figure pareto_throughput or another one")
    check_figure_file(out)
    machines = one_or_all(results)
    check(chosen, [machine.summary for machine in machines])
    drawn = draw_one(name, machines, chosen)
    say(f"{save_one(drawn, out)} written")
    return 2 if sum(complain_about(machine.damaged) for machine in machines) else 0


def _show(console: Terminal, written: Report, tables: list[Table], *, notes: bool) -> None:
    """Print what one machine says, its grade, its tables and their notes."""
    print_answer(console, written.summary, written.graded, written.summary.machine.name)
    print_tables(console, _for_a_screen(tables, written.verdicts), notes=notes)
    figures = counted(len(written.figures), "figure file")
    print_words(console, f"\n{written.folder}/report.md and {figures} written")
    for note in written.summary.notes:
        print_words(console, f"note: {note}")


def _for_a_screen(tables: list[Table], verdicts: list[Verdict]) -> Iterator[Table]:
    """Yield the tables with verdicts a line each, and none of studies that are not measured."""
    for table in tables:
        if table.title == TITLE:
            yield from brief(verdicts)
        else:
            yield table


def _print_text(written: Report, tables: list[Table], spelled: Callable[[Table], str]) -> None:
    """Print the tables of one machine for another program, and its grade on standard error."""
    for line in grade.lines(written.graded):
        say(f"{written.summary.machine.name}: {line}", sys.stderr)
    say("\n\n".join(map(spelled, tables)))


def _complain_about_files(written: Report) -> int:
    """Report damaged records and unknown files on standard error; returns the number of damaged."""
    damaged = complain_about(written.damaged)
    if written.unknown:
        first, more = written.unknown[0], len(written.unknown) - 1
        complain(
            f"note: {first}{f' and {more} more' if more else ''}: not part of this report and left "
            "alone; delete by hand what an earlier version wrote there"
        )
    return damaged


def findings(
    *, results: ResultsFlag = Path("results"), out: Annotated[Path | None, Plain] = None
) -> int:
    """Print which claims hold, which do not, which are not known.

    Parameters
    ----------
    out
        Also write the page with every effect, figure and published value, such as docs/findings.md,
        and its figures beside it.
    """
    if out is not None:
        check_target(out)
    found, damaged = _answers(results)
    for line in screen(found, Terminal.on_stdout().width):
        say(line)
    if out is not None:
        page, *figures = write_findings(found, out)
        say(f"\n{page} and {counted(len(figures), 'figure file')} written")
    return 2 if damaged else 0


def paper(*, results: ResultsFlag = Path("results")) -> int:
    """Print whether each claim of the paper holds, and where."""
    found, damaged = _answers(results)
    for line in paper_screen(found, Terminal.on_stdout().width):
        say(line)
    return 2 if damaged else 0


def _answers(results: Path) -> tuple[list[ClaimAnswer], int]:
    """Return the answer of every claim, and the number of damaged records, which are named."""
    machines = read_all(results)
    damaged = sum(complain_about(machine.damaged) for machine in machines)
    return answers(machines), damaged


def claim(
    comparison: str,
    /,
    *,
    on: Literal["top1", "throughput", "latency", "memory"],
    results: Annotated[
        ResultsFlag,
        Parameter(help="Results folder; the figure is written into its subfolder claims."),
    ] = Path("results"),
    notes: NotesFlag = False,
) -> int:
    """Test one comparison under every condition on record.

    Exit with 0 if no decided condition contradicts it, else with 1; with 2 if a damaged record had
    to be left out.

    Parameters
    ----------
    comparison
        "A > B": A is better than B. Models are named as for `run --models`; @TAG names one set of
        weights.
    on
        Quantity to compare; a higher top-1 or throughput, or a lower latency or memory is better.
    """
    # The default folder may be missing: published rows alone give an answer.
    if not results.is_dir() and results != Path("results"):
        raise UsageError(f"--results: {results} is not a folder; `{COMMAND} run` makes one")
    found = answer(comparison, on, results)
    damaged = complain_about(found.damaged)
    console = Terminal.on_stdout()
    print_words(console, sentence(found), "bold")
    print_tables(console, claim_tables(found), notes=notes)
    print_words(console, f"\n{save(found, results)} written")
    return 2 if damaged else int(found.verdict not in HOLDING)


def compare(
    left: str, right: str, /, *, fail_on_regression: str | None = None, notes: NotesFlag = False
) -> int:
    """Show what changed between two sets of records.

    Parameters
    ----------
    left
        A results folder, a machine's folder, or FOLDER@COMMIT.
    right
        The set to compare it with. Changes go from left to right; speeds are compared relative to
        the reference of their own run.
    fail_on_regression
        Exit with 1 if anything got worse, beyond chance, by more than this share of its value
        on the left: 5% or 0.05.
    """
    limit = (
        None if fail_on_regression is None else share(fail_on_regression, "--fail-on-regression")
    )
    comparison = changes.compare(left, right)
    damaged = complain_about(comparison.damaged)
    console = Terminal.on_stdout()
    print_words(console, f"{outcomes(comparison)}, from {left} to {right}", "bold")
    print_words(console, can_tell(comparison), "bold")
    print_tables(console, [changes_table(comparison, left, right)], notes=notes)
    worse = [] if limit is None else comparison.regressions(limit)
    if worse:
        names = ", ".join(dict.fromkeys(change.name for change in worse))
        print_words(console, f"\n{len(worse)} got worse by more than {limit:.1%}: {names}")
    return 2 if damaged else int(bool(worse))
