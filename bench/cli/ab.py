"""`bench ab`: two commits, or two environments, timed against each other in one job."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bench.ab import decision
from bench.ab.compare import Comparison, Outcome
from bench.ab.report import answer, markdown, notes, table
from bench.ab.sides import Asked, Sides, prepared
from bench.cli.console import Terminal, print_tables, print_words
from bench.cli.options import share
from bench.config import MINUTES, Plain
from bench.errors import UsageError
from bench.files import files
from bench.measure import cpu_placement, machine, process_settings


def ab(
    *,
    asked: Annotated[Asked, Parameter(name="*")] = Asked(),  # noqa: B008 - frozen
    minutes: Annotated[float, MINUTES] = 5.0,
    fail_on_slower: Annotated[str | None, Plain] = None,
    summary: Annotated[Path | None, Plain] = None,
) -> int:
    """Time two commits or environments against each other, in one job.

    Both take turns in rounds, in several processes each, with the base a second time beside them as
    a check. Exit with 1 if --fail-on-slower is broken, with 2 for bad input, else with 0.

    Parameters
    ----------
    minutes
        About how long to measure at most, in minutes, or such as 90s; installing comes on top.
    fail_on_slower
        Exit with 1 if head is slower, beyond chance, by more than this share: 5% or 0.05. The two
        are the same if they differ by less; 5% unless given.
    summary
        File to which the result is appended as Markdown, such as "$GITHUB_STEP_SUMMARY".
    """
    limit = None if fail_on_slower is None else share(fail_on_slower, "--fail-on-slower")
    if limit == 0:
        raise UsageError("--fail-on-slower: must be above 0, got 0; 2% or 5% would work")
    if not 0 < minutes < math.inf:
        raise UsageError(f"--minutes: must be a number above 0, got {minutes:g}; 5 would work")
    console = Terminal.on_stdout()
    outcomes: list[Outcome] = []
    with prepared(asked, console.print_line) as sides:
        if summary is not None:
            _append(summary, "")  # what can't be written to is said before measuring
        try:
            _compare(console, sides, 60 * minutes, limit, outcomes)
        finally:  # of several cases, those before one that fails have been measured
            if outcomes:
                print_outcomes(console, sides, outcomes, limit)
            if outcomes and summary is not None:
                _append(summary, markdown(sides, outcomes, limit))
    return int(any(outcome.broke(limit) for outcome in outcomes))


def _compare(
    console: Terminal, sides: Sides, seconds: float, limit: float | None, outcomes: list[Outcome]
) -> None:
    """Compare pair after pair, and append what is found.

    Time that one pair does not need is the next one's.
    """
    process_settings.waiting()
    first = cpu_placement.may_go_first() and cpu_placement.niceness() == 0
    settings = {
        "niceness": cpu_placement.NICENESS if first else None,
        "core": cpu_placement.core_for_one() if first else None,
        "threads": machine.cores(),
    }
    left, number = seconds, len(sides.pairs)
    with (
        console.status("starting") as status,
        cpu_placement.asked_for(),
        cpu_placement.answering_first(),
    ):
        for place, pair in enumerate(sides.pairs):
            outcome = Comparison(
                pair,
                seconds=left / (number - place),
                margin=limit or decision.MARGIN,
                limit=limit,
                comparisons=number,
                settings=settings,
                seed=place,
                tell=status.update,
            ).run()
            left -= outcome.seconds
            outcomes.append(outcome)


def print_outcomes(
    console: Terminal, sides: Sides, outcomes: Sequence[Outcome], limit: float | None
) -> None:
    """Print the answer, the table and the notes of comparisons."""
    print_words(console, answer(outcomes, limit), "bold")
    print_tables(console, [table(sides, outcomes)])
    for note in notes(sides, outcomes):
        print_words(console, note, "dim")


def _append(path: Path, text: str) -> None:
    """Append to a file, which may be one that a CI runner made."""
    with files.named(path), path.open("a", encoding="utf-8") as file:
        file.write(text)
