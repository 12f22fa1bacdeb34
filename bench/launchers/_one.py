"""Measure one accuracy arm on whatever machine this is, by a run of its own.

The run writes to the results folder of the program that asks, which has to be shared.
"""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from bench.config import RunConfig
from bench.measure import cpu_placement
from bench.measure.messages import Failure
from bench.measure.worker import Workers
from bench.plan.shards import Only
from bench.plan.task import Task
from bench.plugins import Arrived, models
from bench.record import store
from bench.record import values as record_values
from bench.record.arms import Arm
from bench.record.schema import Machine, Sample
from bench.run.runner import Runner
from bench.run.session import Session


@dataclass
class Quiet:
    """An observer that keeps only the latest failure; nobody is watching on this machine."""

    failure: str | None = None

    def planned(
        self, machine: Machine, folder: Path, tasks: list[Task], open_tasks: list[Task]
    ) -> None: ...

    def warn(self, text: str) -> None: ...

    def note(self, text: str) -> None: ...

    def step(
        self, name: str, arm: str, done: int, total: int, seconds_left: float | None
    ) -> None: ...

    def figure(self, arm: Arm, sample: Sample) -> None: ...

    def failed(self, arm: Arm, failure: Failure) -> None:
        self.failure = f"{failure.status}: {failure.error}"


def measure(
    config: RunConfig, key: str, *, folder: str, installation: str, niceness: int | None
) -> Arrived:
    """Measure the arm of `key` here, as the program that asks would.

    `folder` is the working directory of that program, `installation` the name of its results
    folder, `niceness` its own.
    """
    where = platform.node()
    cpu_placement.be_as_nice_as(niceness)
    _enter(folder)
    if not _is_shared(config.results, installation):
        return Arrived(
            key,
            where,
            refused=f"--results: {config.results} on {where} is not the folder that this run "
            "writes to; share it between the machines",
        )
    for name in (*config.models, config.reference or ""):
        models.typed.add(name.partition("@")[0])  # named by the user of the program that asks
    quiet = Quiet()
    with Workers() as workers:
        session = Session.start(config.results, config.device, quiet, workers.open)
        here = replace(config, launcher="local", yes=True)
        Runner(here, session, part=Only(frozenset({key}))).run()
    value = _latest_top1(session, key) if quiet.failure is None else None
    return Arrived(key, where, value=value, failure=quiet.failure)


def _enter(folder: str) -> None:
    """Work in a folder, if this machine has it: models may be given as files below it."""
    if Path(folder).is_dir():
        os.chdir(folder)
        if folder not in sys.path:
            sys.path.insert(0, folder)


def _is_shared(results: Path, installation: str) -> bool:
    name = results / ".installation"
    return name.exists() and name.read_bytes().strip() == installation.encode()


def _latest_top1(session: Session, key: str) -> float | None:
    values: list[float] = []
    for path in session.records.glob(f"*.{key}.jsonl"):
        record = store.load(path).within(session.machine.fingerprint)
        values += record_values.per_round(record, "top1").values()
    return float(values[-1]) if values else None
