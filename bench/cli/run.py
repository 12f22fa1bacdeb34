"""`bench run`: measure, or show what measuring would take."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bench.analysis.rows import Summary
from bench.analysis.summary import summarise
from bench.cli import BEGAN
from bench.cli.console import (
    Live,
    Terminal,
    counted,
    print_answer,
    print_interrupted,
    print_ledger,
    print_tables,
    print_words,
)
from bench.cli.options import NotesFlag
from bench.cli.tables.forecast import cost
from bench.cli.terminal import complain
from bench.config import COMMAND, DEFAULT_SUITE, HOW, HOW_LONG, WHAT, RunConfig, Switch
from bench.forecast.past import Past
from bench.measure.machine import resolve_device
from bench.measure.messages import Job, Worker
from bench.measure.worker import Workers
from bench.record.store import load
from bench.report.tables.reading_order import all_tables
from bench.run.observer import Interrupted, Outcome
from bench.run.parallel import by_torchrun
from bench.run.session import Session

FOR_GOOD = ("unsupported", "diverged")
"""What a failure begins with that would only happen again."""


def run(
    *,
    config: Annotated[RunConfig, Parameter(name="*")] = RunConfig(),  # noqa: B008 - frozen
    suite: Annotated[str, WHAT] = DEFAULT_SUITE,
    dry_run: Annotated[Switch, HOW_LONG] = False,
    notes: Annotated[NotesFlag, HOW] = False,
    strict: Annotated[Switch, HOW] = False,
) -> int:
    """Measure models; what is finished is not measured again.

    Parameters
    ----------
    suite
        quick, paper, policies, gpu, full, or a TOML file with the same fields as these flags; flags
        override it. Not used if --models is given without it.
    dry_run
        Show what would be measured and how much time and memory it would take; measure nothing.
    strict
        Exit with 1 if the speeds must not be ranked, because the A/A check or the drift check
        failed or is missing, or other programs were using the CPU.
    """
    if dry_run:
        return _dry_run(config)
    measure = partial(_measure, strict=strict, notes=notes)
    if by_torchrun():
        from bench.run.torchrun import run_together

        return run_together(config, measure)
    with Workers() as workers:
        return measure(config, workers.open)


def _measure(
    config: RunConfig, open_worker: Callable[[Job], Worker], *, strict: bool, notes: bool
) -> int:
    """Measure, print the results, and return the exit code."""
    from bench.run.runner import Runner

    console = Terminal.on_stdout()
    try:
        with Live(console) as live:
            session = Session.start(config.results, config.device, live, open_worker)
            outcome = Runner(config, session, began=BEGAN).run()
    except Interrupted as stop:
        return print_interrupted(console, stop.rounds)
    can_be_ranked = True
    summary = _summary(outcome)
    if summary is not None:
        can_be_ranked = print_results(console, summary, notes=notes)
    print_ledger(console, outcome.ledger)
    _print_outcome(console, outcome, config)
    if strict and not can_be_ranked:
        complain("--strict: these speeds must not be ranked; the line before the tables says why")
        return 1
    return int(_is_at_fault(outcome))


def print_results(console: Terminal, summary: Summary, *, notes: bool) -> bool:
    """Print what a run measured; returns False if its speeds must not be ranked."""
    ranked = print_answer(console, summary, summary)
    tables = [table for table in all_tables(summary) if not table.published]
    print_tables(console, tables, notes=notes)
    return ranked


def _summary(outcome: Outcome) -> Summary | None:
    """Return the results of a run on its latest machine; None if nothing is in its records."""
    records = list(filter(attrgetter("runs"), map(load, outcome.records)))
    if not records:
        return None
    runs = chain.from_iterable(record.runs for record in records)
    machine = max(runs, key=attrgetter("started")).machine
    past = Past.read(outcome.folder.parent, machine.fingerprint)
    return summarise(records, past=past)


def _print_outcome(console: Terminal, outcome: Outcome, config: RunConfig) -> None:
    """Print what was measured, what is left, what failed, and the next command."""
    state = "nothing was measured"
    if outcome.measured:
        state = f"{counted(outcome.measured, 'configuration')} measured"
    records = counted(len(outcome.records), "record")
    print_words(console, f"\n{state}; {records} in {outcome.folder}")
    console.print_line(f"next: {COMMAND} report --results {config.results}")
    if outcome.left:
        console.print(
            f"{counted(outcome.left, 'timed configuration')} left for the next slice; rerun the "
            "same command to continue",
            highlight=False,
        )
    failures = outcome.failures | outcome.partial
    if failures:
        again = sum(not text.startswith(FOR_GOOD) for text in failures.values())
        retried = f"; the same command tries {again} of them again" if again else ""
        console.print(
            f"{counted(len(failures), 'configuration')} failed for the reasons above{retried}",
            highlight=False,
        )


def _is_at_fault(outcome: Outcome) -> bool:
    """True if a model's code failed, if a policy computed something else, or if nothing succeeded.

    Out of memory or unsupported is a result like any other.
    """
    failures = outcome.failures | outcome.partial
    if any(text.startswith(("failed", "wrong")) for text in failures.values()):
        return True
    return outcome.measured > 0 and len(outcome.failures) == outcome.measured


def _dry_run(config: RunConfig) -> int:
    """Print the plan of a run as a table."""
    from bench.plan import plan
    from bench.plan.forecast import budget_warning, estimate, rate_now
    from bench.run.runner import Runner

    device = resolve_device(config.device)
    console = Terminal.on_stdout()
    asked = plan.make(config, device=device)
    for note in asked.notes:
        print_words(console, note)
    tasks = [*asked.tasks, *asked.accuracies(lambda task: None)]
    past, open_tasks = Past(), tasks
    session = measured_before(config.results, config.device, console)
    if session is not None:
        past = Past.read(session.folder, session.machine.fingerprint)
        open_tasks = Runner(config, session).outstanding()
    rate = rate_now(device)
    whole = estimate(config, tasks, past, device, rate)
    left = estimate(config, open_tasks, past, device, rate)
    print_tables(console, [cost(whole, left, device)])
    warning = budget_warning(config, open_tasks, past, device, rate)
    if warning is not None:
        console.print_line(f"warning: {warning}")
    return 0


def measured_before(results: Path, device: str, console: Terminal) -> Session | None:
    """Return a session that measures nothing; None if nothing was measured before."""
    if not (results / ".installation").exists():
        return None
    return Session.start(results, device, Live(console), _no_worker)


def _no_worker(job: Job) -> Worker:
    raise AssertionError("a dry run opens no worker")
