"""The arms of a plan that are still to be measured, given this machine's records."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, field

from bench.plan.task import Task, with_metrics
from bench.plugins import Metric
from bench.record import arms, store
from bench.record import values as record_values
from bench.record.schema import EndLine, RunLine, Scalar
from bench.record.store import Record
from bench.run.arm_run import ArmRun, in_every_round
from bench.run.context import RunContext
from bench.run.lifecycle import Lifecycle
from bench.stats.intervals import ROUNDS_FOR_INTERVAL
from bench.stats.mixed_effects import FEWEST

FINAL = ("ok", "unsupported", "diverged")
"""Statuses with which an arm counts as finished; others are tried again."""


@dataclass
class Backlog:
    """A plan compared with this machine's records. `again`: a study's speeds get another run."""

    context: RunContext
    records: dict[str, Record]
    """Records of this machine by key, of all its states."""
    again: bool = False
    arrived: dict[str, float] = field(default_factory=dict)
    """Values measured on other machines during this run, by key; -1 where that failed for good."""

    def counts_and_speeds(self, tasks: list[Task]) -> list[ArmRun]:
        """Return the arms that are open among counts and speeds.

        A study compares all of its timed arms with each other: they are finished once one run had
        all of them, and open together until then.
        """
        if not self.context.studies:
            return self.open_arms(tasks)
        timed = [task for task in tasks if task.arm.is_timed]
        others = self.open_arms([task for task in tasks if task not in timed])
        force = self.context.config.force
        if self._met(timed) and not self.again and not force:
            return others
        return [*others, *(self.new(task, fresh=force) for task in timed)]

    def open_arms(self, tasks: list[Task]) -> list[ArmRun]:
        """Return the arms of which anything is open, each with what is open of it."""
        return list(filter(None, map(self.open_arm, tasks)))

    def open_arm(self, task: Task) -> ArmRun | None:
        """Return what is open of a task; None if all of it is finished."""
        force = self.context.config.force
        record = self.found(task)
        if record is None or force:
            return self.new(task, fresh=force)
        runs = {run.run: run for run in record.runs}
        finished: set[str] = set()
        for end in record.ends:
            if self._settles(end, runs[end.run]):
                finished.update(end.metrics)
        left = tuple(metric for metric in task.metrics if metric.name not in finished)
        return self.new(with_metrics(task, left), earlier=record) if left else None

    def new(self, task: Task, *, earlier: Record | None = None, fresh: bool = False) -> ArmRun:
        """Return an arm run that writes to the task's record."""
        path = store.path_of(self.context.session.records, task.arm, task.settings)
        arm_run = ArmRun(task, lambda line: store.append(path, line), fresh=fresh, role=task.role)
        arm_run.start_anew(earlier, record_values.MEASURED)
        return arm_run

    def found(self, task: Task) -> Record | None:
        """Return what this machine, in its present state, has measured of a task."""
        record = self.records.get(arms.key_of(task.arm, task.settings))
        within = record.within(self.context.session.machine.fingerprint) if record else None
        return within if within and within.runs else None

    def value_of(self, task: Task) -> float | None:
        """Return the value of a finished arm: -1 if it failed for good, None if it is still open.

        Reads the record anew, since phases of this run add to it.
        """
        key = arms.key_of(task.arm, task.settings)
        if key in self.arrived:
            return self.arrived[key]
        session, metric = self.context.session, task.metrics[0].name
        path = store.path_of(session.records, task.arm, task.settings)
        if not path.exists():
            return None
        record = store.load(path).within(session.machine.fingerprint)
        end = store.end_of(record, metric) if record.ends else None
        if end is None:
            return None
        if end.status != "ok":
            return -1.0
        values = record_values.per_round(record, metric).values()
        return statistics.median(values) if values else None

    def claim(self, tasks: list[Task], lifecycle: Lifecycle) -> None:
        """Add a run without studies to records that were made for studies only.

        Somebody asks for these arms now, so that tables are to show them.
        """
        if self.context.studies:
            return
        for task in tasks:
            record = self.found(task)
            of_studies_only = record is not None and all(run.studies for run in record.runs)
            if of_studies_only and self.open_arm(task) is None:
                lifecycle.begin(self.new(task))

    def _met(self, tasks: list[Task]) -> bool:
        """True if one run has enough rounds of each of these arms, in enough processes.

        Arms and metrics that ended without a value are not waited for.
        """
        complete: list[set[str]] = []
        processes: list[Counter[str]] = []
        for task in tasks:
            record = self.found(task)
            if record is None:
                return False
            wanted = [metric for metric in task.metrics if not _never(record, metric)]
            metrics = list(filter(in_every_round, wanted))
            if metrics:
                complete.append(_complete_runs(record, metrics))
                processes.append(_processes(record))
        common = set.intersection(*complete) if complete else {""}
        # The spread between processes cannot be known of a single one: another run adds one more.
        return bool(common) and all(
            not counted or sum(counted[run] for run in common) >= FEWEST for counted in processes
        )

    def _settles(self, end: EndLine, run: RunLine) -> bool:
        """True if an end leaves nothing to do.

        A short one goes on if there is more time than it had. What was unsupported is tried again
        by another version, or once the GPU has readings that it lacked in that run.
        """
        here = (self.context.session.version, *_readings(self.context.setup))
        if end.status == "unsupported" and (run.version, *_readings(run.setup)) != here:
            return False
        target, budget = self.context.config.target_ci, self.context.config.time_budget
        narrower = target is not None and (end.target_ci is None or target < end.target_ci)
        more_time = budget is None or (end.time_budget is not None and budget > end.time_budget)
        return end.status in FINAL and not narrower and not (end.short and more_time)


def _complete_runs(record: Record, metrics: list[Metric]) -> set[str]:
    """Return the runs that have an interval's rounds of all metrics, or gave the arm up early."""
    rounds: list[Counter[str]] = []
    for metric in metrics:
        rounds.append(Counter(run for run, _ in record_values.per_round(record, metric.name)))
    hopeless = _hopeless_runs(record)
    complete: set[str] = set()
    for run in set.intersection(*map(set, rounds)):
        if run in hopeless or min(counted[run] for counted in rounds) >= ROUNDS_FOR_INTERVAL:
            complete.add(run)
    return complete


def _processes(record: Record) -> Counter[str]:
    """Return the number of processes by run, but for runs that gave the arm up early."""
    hopeless = _hopeless_runs(record)
    seen = {(line.run, line.worker) for line in record.rounds if line.run not in hopeless}
    return Counter(run for run, _ in seen)


def _hopeless_runs(record: Record) -> set[str]:
    return {end.run for end in record.ends if end.hopeless}


def _never(record: Record, metric: Metric) -> bool:
    """True if a metric ended for good without a value."""
    end = store.end_of(record, metric.name)
    return end is not None and end.status in FINAL and end.status != "ok"


def _readings(setup: dict[str, Scalar]) -> list[Scalar]:
    """Return what decides whether a metric that was unsupported can be measured now."""
    return [setup.get("gpu_tells"), setup.get("worker_memory_gb")]
