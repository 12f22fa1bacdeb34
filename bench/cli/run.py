"""`bench run`: measure, or show what measuring would take."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Annotated

from cyclopts import Parameter

from bench.analysis.summary import summarise
from bench.cli import BEGAN
from bench.cli.console import (
    Live,
    Terminal,
    print_grade,
    print_interrupted,
    print_ledger,
    print_tables,
)
from bench.cli.tables.forecast import cost
from bench.cli.terminal import complain
from bench.config import DEFAULT_SUITE, RunConfig, Switch
from bench.forecast.past import Past
from bench.measure import machine as environment
from bench.measure.messages import Job, Worker
from bench.measure.worker import Workers
from bench.record.store import load
from bench.report.tables.reading_order import all_tables
from bench.run.observer import Interrupted
from bench.run.session import Session


def run(
    *,
    config: Annotated[RunConfig, Parameter(name="*")] = RunConfig(),  # noqa: B008 - frozen, and cyclopts reads it
    suite: Annotated[str, Parameter()] = DEFAULT_SUITE,
    dry_run: Switch = False,
    strict: Switch = False,
) -> int:
    """Measure models and write records; what is finished is not measured again.

    Parameters
    ----------
    suite
        quick, paper, policies, gpu, full, or a TOML file with the same fields as these flags; flags win over it. Not used
        where --models is given alone.
    dry_run
        Show what would be measured, how long it would take and how much memory, and measure nothing.
    strict
        Exit with 1 where the speeds' own checks (A/A pair, canary, disturbed windows) failed or are missing.
    """
    if dry_run:
        return _dry_run(config)
    measure = partial(_measure, strict=strict)
    if "TORCHELASTIC_RUN_ID" in os.environ:
        from bench.run.torchrun import run_together

        return run_together(config, measure)

    with Workers() as workers:
        return measure(config, workers.open)


def _measure(config: RunConfig, open_worker: Callable[[Job], Worker], *, strict: bool) -> int:
    """Run, and show what came out."""
    from bench.run.runner import Runner

    console = Terminal.on_stdout()
    try:
        with Live(console) as live:
            session = Session.start(config.results, config.device, live, open_worker)
            outcome = Runner(config, session, began=BEGAN).run()
    except Interrupted as stop:
        return print_interrupted(console, stop.rounds)
    records = [record for path in outcome.records if (record := load(path)).runs]
    doubted = False
    if records:
        machine = max(
            (run for record in records for run in record.runs), key=lambda run: run.started
        ).machine
        summary = summarise(records, past=Past.read(outcome.folder.parent, machine.fingerprint))
        doubted = not print_grade(console, summary)
        print_tables(console, [table for table in all_tables(summary) if not table.published])
    print_ledger(console, outcome.ledger)
    state = f"{outcome.measured} arms measured" if outcome.measured else "nothing was measured"
    console.print(
        f"\n{state}; {len(outcome.records)} records in {outcome.folder} · next: python -m bench report --results {config.results}",
        soft_wrap=True,
        highlight=False,
    )
    if outcome.left:
        console.print(
            f"{outcome.left} timed arms are left for the next slice: the same command goes on",
            highlight=False,
        )
    if troubled := outcome.failures | outcome.partial:
        later = sum(not text.startswith(("unsupported", "diverged")) for text in troubled.values())
        again = f"; the same command tries {later} of them again" if later else ""
        console.print(f"{len(troubled)} arms failed for the reasons above{again}", highlight=False)
    # Out of memory or unsupported is a result; a model whose code failed is a fault that somebody has to mend.
    at_fault = any(text.startswith("failed") for text in troubled.values())
    failed = at_fault or (outcome.measured and len(outcome.failures) == outcome.measured)
    if strict and doubted:
        complain(
            "--strict: these speeds are not fit to be ranked; the line before the tables says why"
        )
    return 1 if failed or (strict and doubted) else 0


def _dry_run(config: RunConfig) -> int:
    """The plan of a run as a table."""
    from bench.plan import plan
    from bench.plan.forecast import estimate, rate_now
    from bench.run.runner import Runner

    def nothing(job: Job) -> Worker:
        raise AssertionError("a dry run opens no worker")

    device = environment.resolve_device(config.device)
    asked = plan.make(config, device=device)
    for note in asked.notes:
        Terminal.on_stdout().print(note, soft_wrap=True, highlight=False, markup=False)
    tasks = [*asked.tasks, *asked.accuracies(lambda task: None)]
    past, open_tasks = Past(), tasks
    if (config.results / ".installation").exists():
        session = Session.start(config.results, config.device, Live(Terminal.on_stdout()), nothing)
        past = Past.read(session.folder, session.machine.fingerprint)
        open_tasks = Runner(config, session).outstanding()
    rate = rate_now(device)
    whole, left = (estimate(config, chosen, past, device, rate) for chosen in (tasks, open_tasks))
    print_tables(Terminal.on_stdout(), [cost(whole, left, device)])
    return 0
