"""`bench doctor` and `selfcheck`: whether this machine's numbers can be believed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.table import Table as RichTable

from bench.check.doctor import CheckResult, examine, verdict
from bench.cli.console import Terminal, print_words, styled
from bench.cli.options import DeviceFlag, ResultsFlag
from bench.config import MINUTES, SECONDS, RunConfig
from bench.measure.worker import Workers
from bench.stats.formatting import interval
from bench.stats.intervals import Estimate

if TYPE_CHECKING:  # imports torch
    from bench.check.selfcheck import SelfCheckResult

STYLES = {
    "ok": "green",
    "note": "yellow",
    "missing": "yellow",
    "wrong": "bold red",
    "unfit": "bold red",
}
HARMLESS = ("ok", "note", "missing")
IN_COLUMNS = 90
"""Columns of a terminal from which on what was found has a column of its own."""


def doctor(
    *,
    device: DeviceFlag = "auto",
    results: Annotated[
        ResultsFlag, Parameter(help="Results folder; the free space on its disk is checked.")
    ] = Path("results"),
    seconds: Annotated[float, SECONDS] = 10.0,
) -> int:
    """Examine this machine: packages, disk, memory, users, noise.

    Parameters
    ----------
    seconds
        How long to read the noise, in seconds, or such as 1m.
    """
    device = RunConfig(device=device).device  # UsageError if there is no such kind of device
    console = Terminal.on_stdout()
    checks = _print_checks(console, examine(device=device, results=results, seconds=seconds))
    console.print(f"\n{verdict(checks)}")
    return 0 if all(check.status in HARMLESS for check in checks) else 1


def _print_checks(console: Terminal, checks: Iterable[CheckResult]) -> list[CheckResult]:
    """Print each check as soon as it is done, with what would fix it; returns all of them."""
    done = []
    for check in checks:
        done.append(check)
        console.print(_line(console, check))
    return done


def _line(console: Terminal, check: CheckResult) -> RichTable:
    """Return a check in columns: its status, what was checked, what was found and a remedy."""
    word = check.status.upper() if check.status == "wrong" else check.status
    found = styled(check.found).append_text(
        styled(f"  → {check.remedy}" if check.remedy else "", "dim")
    )
    line = RichTable.grid(padding=(0, 2))
    line.add_column(width=7)
    if console.width < IN_COLUMNS:
        line.add_row(
            styled(word, STYLES[check.status]), styled(f"{check.what}: ").append_text(found)
        )
    else:
        line.add_column(width=24)
        line.add_row(styled(word, STYLES[check.status]), styled(check.what), found)
    return line


def selfcheck(*, minutes: Annotated[float, MINUTES] = 8.0, device: DeviceFlag = "auto") -> int:
    """Test whether this machine measures correctly; writes nothing.

    Parameters
    ----------
    minutes
        About how long the test may take, in minutes, or such as 1h.
    """
    from bench.check.selfcheck import SelfCheck

    console = Terminal.on_stdout()
    with Workers() as workers:
        result = SelfCheck(minutes, device, workers.open, tell=console.print).run()
    _print_selfcheck(console, result)
    return 0 if result.believable else 1


def _print_selfcheck(console: Terminal, result: SelfCheckResult) -> None:
    alike = result.alike
    _print_answer(
        console,
        result.enough_covered,
        f"a network against itself, {len(alike.ratios)} short comparisons: {alike.covered} of the "
        f"95 % intervals contain 1 (90 of 100 must), {alike.false_alarms} false alarms at 5 %",
    )
    _print_answer(
        console,
        result.known.holds(2.0),
        "a network against itself run twice per call: "
        f"{interval(result.known, places=3)}, must contain 2",
    )
    _print_answer(
        console,
        result.overlaps,
        f"the same {len(result.quiet)} times more: {_intervals(result.quiet)} "
        f"(largest over smallest {result.spread(result.quiet):.3f}); "
        f"{len(result.loaded)} times while other programs were using the CPU: "
        f"{_intervals(result.loaded)} ({result.spread(result.loaded):.3f}), "
        "must overlap the range of the former",
    )
    answer = "This machine's numbers can be believed"
    if not result.believable:
        answer = "Do not trust this machine in its present state"
    share = alike.resolvable(result.seconds)
    print_words(
        console,
        f"\n{answer}: in {result.seconds / 60:.0f} minutes it can resolve a difference of about "
        f"{share:.1%} between two models, and nothing smaller.",
    )


def _print_answer(console: Terminal, is_right: bool, text: str) -> None:
    print_words(console, f"{'right' if is_right else 'WRONG'}  {text}")


def _intervals(ratios: list[Estimate]) -> str:
    return ", ".join(interval(ratio, places=3) for ratio in ratios)
