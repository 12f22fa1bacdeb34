"""`bench report`, `claim` and `compare`: what records say; nothing is measured."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bench.analysis import grade
from bench.analysis.changes import compare as compared
from bench.claims.comparison import HOLDING, answer
from bench.cli.console import Terminal, print_grade, print_tables
from bench.cli.options import Results
from bench.cli.terminal import complain
from bench.config import Names, Switch
from bench.errors import UsageError, visible
from bench.report import formats
from bench.report.page import write_page
from bench.report.selection import selection
from bench.report.tables.changes import can_tell, changes
from bench.report.tables.comparison import claim_tables, save
from bench.report.write import write_all


def report(
    *,
    results: Results = Path("results"),
    family: Names = (),
    where: str = "",
    sort: str = "",
    columns: Names = (),
    format: Literal["console", "markdown", "csv", "latex"] = "console",
    page: bool = True,
    strict: Switch = False,
) -> int:
    """Render tables, figures and the page from records; measures nothing.

    Parameters
    ----------
    family
        Only these families, comma separated. With this or one of the next three flags files go into each machine's `selection`.
    where
        Only what meets these conditions, such as "params<30M, latency<=20ms and policy=fp32".
    sort
        Order of the rows, the best first: throughput, latency, params, top1 ...; -throughput for the worst first.
    columns
        Only these columns, comma separated, in this order.
    format
        How tables are printed: console, markdown, csv or latex. All are written to files in any case.
    page
        Write report.html, one page for all machines.
    strict
        Exit with 1 where a machine's speeds are not fit to be ranked: its own checks failed or are missing.
    """

    chosen = selection(family=family, where=where, sort=sort, columns=columns)
    reports, between = write_all(results, chosen)
    console, damaged, doubted = Terminal.on_stdout(), 0, False
    spelled = {"markdown": formats.markdown, "csv": formats.csv_text, "latex": formats.latex}
    for written in reports:
        tables = [*written.tables, *(between if written is reports[-1] else ())]
        trust = grade.worst(written.graded)
        doubted |= trust is not None and not trust.marks
        if format != "console":
            for line in grade.lines(written.graded):
                print(visible(f"{written.summary.machine.name}: {line}"), file=sys.stderr)
            print("\n\n".join(spelled[format](table) for table in tables))
        else:
            if not grade.lines(written.graded):
                console.print(written.summary.machine.name, style="bold", highlight=False)
            print_grade(console, written.graded, written.summary.machine.name)
            print_tables(console, tables)
            console.print(
                f"\n{written.folder}/report.md and {len(written.figures)} figure files written",
                soft_wrap=True,
                highlight=False,
            )
            for note in written.summary.notes:
                console.print(f"note: {note}", soft_wrap=True, highlight=False)
        for error in written.damaged:
            complain(error)
        if written.unknown:
            complain(f"note: {_unlisted(written.unknown)}")
        damaged += len(written.damaged)
    problems = reports[0].summary.imported.problems if reports else []
    for problem in problems:
        complain(problem)
    damaged += len(problems)
    if page and chosen.whole:
        at = write_page(results, reports)
        if format == "console":
            console.print(f"{at} written: open it in a browser", soft_wrap=True, highlight=False)
    if strict and doubted:
        complain("--strict: speeds are not fit to be ranked; each machine's first line says why")
    return 2 if damaged else 1 if strict and doubted else 0


def _unlisted(paths: list[Path]) -> str:
    """Tables that no list of files accounts for."""
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{paths[0]}{more}: not of this report, and left alone; delete by hand what an earlier version left there"


def claim(
    comparison: str,
    /,
    *,
    on: Literal["top1", "throughput", "latency", "memory"],
    results: Annotated[
        Results, Parameter(help="Results folder; the figure is written into its subfolder claims.")
    ] = Path("results"),
) -> int:
    """Hold one comparison against every condition measured or published; exit code 0 only where no decided one is against it.

    A damaged record is named and left out, with exit code 2: the answer then rests on the others alone.

    Parameters
    ----------
    comparison
        "A > B": A is better than B. Names as for `run --models`, with @TAG for one set of weights.
    on
        What is compared; better is a higher top-1 or throughput, a lower latency or memory.
    """

    if not results.is_dir() and results != Path(
        "results"
    ):  # that one need not be there: published rows answer too
        raise UsageError(f"--results: {results} is not a folder; `python -m bench run` makes one")
    found = answer(comparison, on, results)
    for error in found.damaged:
        complain(error)
    console = Terminal.on_stdout()
    print_tables(console, claim_tables(found))
    console.print(f"\n{save(found, results)} written", soft_wrap=True, highlight=False)
    return 2 if found.damaged else 0 if found.verdict in HOLDING else 1


def compare(left: str, right: str, /, *, fail_on_regression: str | None = None) -> int:
    """Show what changed between two sets of records, arm by arm.

    Parameters
    ----------
    left
        A results folder, a machine's folder, or FOLDER@COMMIT.
    right
        What it is compared with; changes are those from left to right, of speeds against a reference arm of their own run.
    fail_on_regression
        Exit with 1 where anything got worse by more than this share of its first value, beyond chance: 5% or 0.05.
    """

    limit = None if fail_on_regression is None else _share(fail_on_regression)
    found = compared(left, right)
    for error in found.damaged:
        complain(error)
    console = Terminal.on_stdout()
    console.print(can_tell(found), style="bold", soft_wrap=True, highlight=False)
    print_tables(console, [changes(found, left, right)])
    worse = [] if limit is None else found.regressions(limit)
    if worse:
        names = ", ".join(dict.fromkeys(one.name for one in worse))
        console.print(
            f"\n{len(worse)} got worse by more than {limit:.1%}: {names}",
            soft_wrap=True,
            highlight=False,
        )
    return 2 if found.damaged else 1 if worse else 0


def _share(text: str) -> float:
    """`5%` or `0.05`."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise UsageError(f"--fail-on-regression: {text!r} is no share; 5% or 0.05 would be")
    return value
