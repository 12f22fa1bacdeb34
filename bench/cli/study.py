"""`bench study`: ask the paper's claims of the records."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

from bench.analysis import grade
from bench.analysis.machines import read_all
from bench.claims.scales import scale_of
from bench.claims.verdicts import verdicts
from bench.cli import BEGAN
from bench.cli.console import Live, Terminal, print_grade, print_interrupted, print_tables
from bench.cli.inspect import list_
from bench.cli.options import Device, Results
from bench.cli.tables.forecast import queued
from bench.cli.terminal import complain
from bench.config import Switch
from bench.errors import UsageError
from bench.measure.worker import Workers
from bench.plugins import studies
from bench.report.tables.verdicts import details, overview
from bench.report.write import write
from bench.run.observer import Interrupted
from bench.run.session import Session

RENDERING_S = 60.0
"""Seconds that a queue of studies keeps for its report."""


def list_studies() -> int:
    """Every study with its question and the claims it asks about."""
    return list_("studies")


def run(
    name: str,
    /,
    *,
    data: str = "digits",
    scale: Literal["small", "authors"] | None = None,
    max_minutes: float | None = None,
    results: Results = Path("results"),
    device: Device = "auto",
    seed: int = 0,
    seeds: int | None = None,
    jobs: int | None = None,
    again: Switch = False,
    force: Switch = False,
    dry_run: Switch = False,
) -> int:
    """Measure what a study lacks, most worth per minute first, and print its verdict; the same command goes on later.

    Parameters
    ----------
    name
        A study of `bench study list`, or all.
    data
        What studies that train are asked on: digits, cifar10:/path or imagenet:/path.
    scale
        small or authors: models for minutes on a processor's core, or the authors' own; what the device can do unless given.
    max_minutes
        Begin nothing that would end later; no limit unless given.
    seed
        Of the order of rounds and the inputs; trainings have seeds of their own.
    seeds
        Trainings of each model; the scale's own number unless given.
    jobs
        Trainings at a time on a CPU; one per processor where the images are small, unless given.
    again
        Make the timed runs once more and add their rounds, where a verdict is inconclusive.
    force
        Measure all of it anew; what there was is superseded.
    dry_run
        Show the queue with what each entry is expected to take, and measure nothing.
    """
    from bench.run.study_queue import Queue

    if max_minutes is not None and not 0 < max_minutes < float("inf"):
        raise UsageError(
            f"--max-minutes: {max_minutes:g} is not a number of minutes above 0; 28 would work"
        )
    if seeds is not None and not 2 <= seeds <= 1000:
        raise UsageError(f"--seeds: {seeds} trainings give no interval; 3 do, 5 a good one")
    scale_of(data, size=scale)
    named = _studies(name)
    console = Terminal.on_stdout()
    with Workers() as workers, Live(console) as live:
        queue = Queue(
            Session.start(results, device, live, workers.open),
            data,
            seed,
            seeds=seeds,
            again=again,
            force=force,
            scale=scale,
            jobs=jobs,
        )
        entries = queue.entries(named)
        if dry_run:
            print_tables(console, [queued(entries, queue.device)])
            return 0
        # Rendering comes after the last training.
        limit = (
            None
            if max_minutes is None
            else 60 * max_minutes - RENDERING_S - (time.monotonic() - BEGAN)
        )
        try:
            left = queue.run(entries, limit)
        except Interrupted as stop:
            return print_interrupted(console, stop.rounds)
    folder = queue.folder
    if any((folder / "records").glob("*.jsonl")):
        written = write(folder)
        chosen = [one for one in written.verdicts if one.study in {study.name for study in named}]
        _print_verdicts(console, chosen)
        console.print(
            f"\n{folder}/report.md and {len(written.figures)} figure files written",
            soft_wrap=True,
            highlight=False,
        )
    if left:
        console.print(
            f"{len(left)} entries of the queue are left; the same command goes on with them",
            highlight=False,
        )
    return 0


def verdict(name: str = "all", /, *, results: Results = Path("results")) -> int:
    """Print verdicts from records alone; measures nothing. Exit code 2 where a record is damaged and left out.

    Parameters
    ----------
    name
        A study of `bench study list`, or all.
    """

    console, named = Terminal.on_stdout(), _studies(name)
    machines = read_all(results)
    damaged = [error for machine in machines for error in machine.damaged]
    for error in damaged:
        complain(error)
    for machine in machines:
        if not grade.lines(machine.everything):
            console.print(machine.folder.name, style="bold", highlight=False)
        print_grade(console, machine.everything, machine.folder.name)
        _print_verdicts(console, verdicts(machine.everything, named))
    return 2 if damaged else 0


def _studies(name: str) -> list[Any]:
    """The study of a name, or all."""

    return studies.entries() if name == "all" else [studies.get(name)]


def _print_verdicts(console: Any, verdicts: list[Any]) -> None:
    """The findings of each study, then the overview, which is what one wants to see last."""

    print_tables(console, [*details(verdicts), *overview(verdicts)])
