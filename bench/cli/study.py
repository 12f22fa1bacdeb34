"""`bench study`: test the paper's claims on records, and measure what is missing for that."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from bench.analysis.machines import MachineRecords, read_all
from bench.claims.rules import Verdict
from bench.claims.scales import scale_of
from bench.claims.verdicts import verdicts
from bench.cli import BEGAN
from bench.cli.console import (
    Live,
    Terminal,
    complain_about,
    counted,
    print_grade,
    print_interrupted,
    print_tables,
    print_words,
)
from bench.cli.inspect import list_
from bench.cli.options import DeviceFlag, NotesFlag, ResultsFlag
from bench.cli.tables.forecast import queued
from bench.cli.tables.power import planned, shortfall
from bench.config import COMMAND, HOW, HOW_LONG, MINUTES, WHAT, WHERE, Plain, Switch
from bench.errors import UsageError
from bench.measure.worker import Workers
from bench.plugins import Study, studies
from bench.report.tables import verdicts as tables
from bench.report.tables.verdicts import brief
from bench.report.write import write
from bench.run.observer import Interrupted
from bench.run.session import Session

if TYPE_CHECKING:  # imports torch
    from bench.run.study_queue import Queue

RENDERING_S = 60.0
"""Seconds of --max-minutes that are kept for rendering the report after the last run."""


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """Flags of `bench study run`."""

    data: Annotated[str, WHAT] = "digits"
    """Data set for studies that train: digits, cifar10:/path or imagenet:/path."""
    scale: Annotated[Literal["small", "authors"] | None, Plain, WHAT] = None
    """small: models that train for minutes on a processor core; authors: the paper's own. Defaults
    to what suits the device."""
    max_minutes: Annotated[float | None, Plain, MINUTES, HOW_LONG] = None
    """Begin nothing that would end later than this, in minutes, or such as 1h30m; defaults to no
    limit."""
    results: Annotated[ResultsFlag, WHERE] = Path("results")
    device: Annotated[DeviceFlag, WHERE] = "auto"
    seed: Annotated[int, HOW] = 0
    """Seed of the order of rounds and the inputs; training runs have their own."""
    seeds: Annotated[int | None, Plain, WHAT] = None
    """Training runs per model; defaults to the number of the scale."""
    jobs: Annotated[int | None, Plain, WHERE] = None
    """Training runs at a time on a CPU; defaults to one per processor for small images."""
    again: Annotated[Switch, HOW] = False
    """Repeat the timed runs and add their rounds, if a verdict is inconclusive."""
    force: Annotated[Switch, HOW] = False
    """Measure everything again; earlier records are superseded."""
    dry_run: Annotated[Switch, HOW_LONG] = False
    """Show what each study takes and can tell, and the queue with a forecast for each entry.
    Nothing is measured."""
    notes: Annotated[NotesFlag, HOW] = False

    def check(self) -> None:
        """Raise UsageError, naming the flag, for a value that makes no sense."""
        if self.max_minutes is not None and not 0 < self.max_minutes < math.inf:
            raise UsageError(
                "--max-minutes: must be a number of minutes above 0, "
                f"got {self.max_minutes:g}; 28 or 1h would work"
            )
        if self.seeds is not None and not 2 <= self.seeds <= 1000:
            raise UsageError(
                f"--seeds: must be from 2 to 1000, got {self.seeds}; 3 give an interval, "
                "5 a good one"
            )
        scale_of(self.data, size=self.scale)

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the queue may still take; None without --max-minutes."""
        if self.max_minutes is None:
            return None
        return 60 * self.max_minutes - RENDERING_S - (time.monotonic() - BEGAN)


def list_studies() -> int:
    """List the studies with their questions and claims."""
    return list_("studies")


def run(
    name: str,
    /,
    *,
    config: Annotated[StudyConfig, Parameter(name="*")] = StudyConfig(),
) -> int:
    """Measure what a study lacks, and print its verdict.

    What is most valuable per minute comes first.

    Parameters
    ----------
    name
        A study from `bench study list`, several with commas, or all.
    """
    from bench.run.study_plan import outlook
    from bench.run.study_queue import in_order

    config.check()
    asked = _studies(name)
    console = Terminal.on_stdout()
    with Workers() as workers, Live(console) as live:
        queue = _queue(config, Session.start(config.results, config.device, live, workers.open))
        surveyed = queue.survey(asked)
        entries = in_order(surveyed)
        prospects = outlook(queue, asked, surveyed)
        if config.dry_run:
            queue_table = queued(entries, prospects.seconds, queue.device)
            print_tables(console, [queue_table, planned(prospects)])
            return 0
        if entries:
            for power in prospects.short:
                print_words(console, shortfall(power))
        try:
            left = queue.run(entries, config.seconds_left)
        except Interrupted as stop:
            return print_interrupted(console, stop.rounds)
    if any((queue.folder / "records").glob("*.jsonl")):
        _report(console, queue.folder, asked, notes=config.notes)
    if left:
        console.print(
            f"{counted(len(left), 'run')} of the queue left; rerun the same command to continue",
            highlight=False,
        )
    return 0


def _queue(config: StudyConfig, session: Session) -> Queue:
    from bench.run.study_queue import Queue

    return Queue(
        session,
        config.data,
        config.seed,
        seeds=config.seeds,
        again=config.again,
        force=config.force,
        scale=config.scale,
        jobs=config.jobs,
    )


def _report(console: Terminal, folder: Path, asked: list[Study], *, notes: bool) -> None:
    """Write the report of a machine, and print the verdicts of some studies."""
    report = write(folder)
    names = {study.name for study in asked}
    asked_for = [verdict for verdict in report.verdicts if verdict.study in names]
    _print_verdicts(console, asked_for, notes=notes)
    figures = counted(len(report.figures), "figure file")
    print_words(console, f"\n{folder}/report.md and {figures} written")


def verdict(
    name: str = "all",
    /,
    *,
    results: ResultsFlag = Path("results"),
    details: Switch = False,
    notes: NotesFlag = False,
) -> int:
    """Print verdicts from records, without measuring.

    Exit with 2 if a record is damaged.

    Parameters
    ----------
    name
        A study from `bench study list`, or several with commas, with all of their findings; or
        all, a line each.
    details
        Print the findings of every study.
    """
    console = Terminal.on_stdout()
    briefly = name == "all" and not details
    asked = _studies(name)
    machines = read_all(results)
    damaged = 0
    for machine in machines:
        damaged += complain_about(machine.damaged)
    silent: list[str] = []
    open_everywhere = {study.name: "" for study in asked}
    for machine in machines:
        answers = verdicts(machine.everything, asked)
        for one in answers:
            if one.outcome != "not measured":
                open_everywhere.pop(one.study, None)
            elif one.study in open_everywhere:
                open_everywhere[one.study] = one.missing
        if all(one.outcome == "not measured" for one in answers):
            silent.append(machine.folder.name)
        else:
            _print_machine(console, machine, answers, briefly=briefly, notes=notes)
    if silent and name == "all":
        print_words(console, f"no study is measured on {', '.join(silent)}")
        print_words(console, f"what a study lacks is measured by: {COMMAND} study run NAME")
    elif silent and len(silent) < len(machines):
        print_words(console, f"{name} is not measured on {', '.join(silent)}")
    for study in asked if name != "all" else []:
        if study.name in open_everywhere:
            command = open_everywhere[study.name]
            print_words(console, f"{study.name} is not measured yet: {study.question}")
            print_words(console, f"it is measured by: {command}")
    if briefly and len(silent) < len(machines):
        print_words(console, f"all findings of a study: {COMMAND} study verdict NAME")
    return 2 if damaged else 0


def _print_machine(
    console: Terminal,
    machine: MachineRecords,
    answers: list[Verdict],
    *,
    briefly: bool,
    notes: bool,
) -> None:
    """Print how many verdicts came out how on a machine, its grade, and the verdicts."""
    print_words(console, f"{machine.folder.name}: {tables.tally(answers)}", "bold")
    print_grade(console, machine.everything, machine.folder.name)
    if briefly:
        print_tables(console, brief(answers), notes=notes)
    else:
        _print_verdicts(console, answers, notes=notes)
    console.print()


def _studies(name: str) -> list[Study]:
    """Return the studies of some names, or all of them; UsageError if there is none."""
    if name == "all":
        return studies.entries()
    return [studies.get(one.strip()) for one in name.split(",")]


def _print_verdicts(console: Terminal, answers: list[Verdict], *, notes: bool) -> None:
    """Print the findings of each study, and the overview last, where it is still in view."""
    print_tables(console, [*tables.details(answers), *tables.overview(answers)], notes=notes)
