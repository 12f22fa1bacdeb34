"""One accuracy arm measured on whatever machine this is, by a run of its own in the shared results folder."""

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


@dataclass
class Quiet:
    """Nobody is watching here; what failed is told to whoever asked."""

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
    """Measure the arm of `key` here, as the asking program would.

    `folder` is where that was started, `installation` its results folder's name, `niceness` what the scheduler makes of it.
    """
    where = platform.node()
    cpu_placement.be_as_nice_as(niceness)
    if Path(folder).is_dir():  # user models may be named from there
        os.chdir(folder)
        if folder not in sys.path:
            sys.path.insert(0, folder)
    here = config.results / ".installation"
    if not here.exists() or here.read_text().strip() != installation:
        return Arrived(
            key,
            where,
            refused=f"--results: {config.results} on {where} is not the folder that this run writes to; share it",
        )
    models.typed.update(
        name.partition("@")[0] for name in (*config.models, config.reference or "")
    )  # to the program that asks
    quiet = Quiet()
    with Workers() as workers:
        runner = Runner(
            replace(config, launcher="local", yes=True),
            quiet,
            workers.open,
            part=Only(frozenset({key})),
        )
        runner.run()
    found = [
        store.load(path).within(runner.machine.fingerprint)
        for path in runner.folder.glob(f"*.{key}.jsonl")
    ]
    values = [value for one in found for value in record_values.per_round(one, "top1").values()]
    return Arrived(
        key,
        where,
        value=float(values[-1]) if values and quiet.failure is None else None,
        failure=quiet.failure,
    )
