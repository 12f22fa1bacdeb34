"""The runs that studies need, as a queue: what is worth most per minute comes first.

Each entry is a run like any other, so that a queue that was stopped resumes where it was, and
nothing is measured twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path

from bench.claims.questions import hash_of
from bench.claims.scales import Scale, scale_of
from bench.config import RunConfig
from bench.forecast.forecast import Forecast
from bench.forecast.past import Past
from bench.forecast.past_runs import read
from bench.plan import plan
from bench.plan.forecast import Rate, estimate, rate_now
from bench.plan.task import Task
from bench.plugins import Need, Study
from bench.record.arms import AccuracyArm, Arm
from bench.record.store import Record
from bench.run.observer import Interrupted
from bench.run.parallel import JobPool, jobs_for
from bench.run.runner import Runner
from bench.run.session import Session

LEAST_S = 20.0
"""No training is begun in the last seconds of a queue's time; it may still take as long."""


@dataclass
class QueueEntry:
    """A run that one or more studies need. `worth` is the sum of what it is worth to each."""

    need: Need
    studies: dict[str, str] = field(default_factory=dict)
    """The studies that need it, each with the hash of its question."""
    worth: float = 0.0
    seconds: float = 0.0
    """Forecast for the tasks that are open."""
    tasks: list[Task] = field(default_factory=list)
    """The tasks that are open."""
    trained: set[Arm] = field(default_factory=set)
    """All training runs that can be named by now, finished ones too."""
    unnamed: int = 0
    """Training runs that can be named only when others have finished."""
    cost: Forecast | None = None
    unnamed_s: float = 0.0
    """Forecast for the unnamed training runs."""

    @property
    def trains(self) -> bool:
        """True if it may stop between any two arms."""
        return "data" in self.need.settings


@dataclass
class Queue:
    """The open runs of studies on one machine."""

    session: Session
    data: str
    seed: int
    seeds: int | None = None
    """Training runs per model; the scale's number unless given."""
    again: bool = False
    """Timed runs are made once more, and their rounds added."""
    force: bool = False
    """Everything is measured anew and supersedes earlier runs."""
    scale: str | None = None
    """`small` or `authors`, if the data set has both; the largest that suits the device unless
    given."""
    jobs: int | None = None
    """Training runs at a time on a CPU; one per processor for small images unless given."""
    rounds: int = 0
    """Rounds finished so far."""
    records: dict[str, Record] = field(default_factory=dict)
    """This machine's records by key, as they were at the last survey."""

    def entries(self, studies: list[Study]) -> list[QueueEntry]:
        """Return the runs of which anything is open, best first; studies share equal runs."""
        return in_order(self.survey(studies))

    def survey(self, studies: list[Study]) -> list[QueueEntry]:
        """Return all runs that studies need, with what is open of each and a forecast for it."""
        session = self.session
        self.records = session.load_records()
        surveyed = self._merged(studies)
        for entry in surveyed:
            self._look(entry)
        fingerprint = session.machine.fingerprint
        mine = [record.within(fingerprint) for record in self.records.values()]
        past, rate = Past.of(mine, read(session.folder)), rate_now(session.device)
        for entry in surveyed:
            if entry.tasks:
                self._forecast(entry, past, rate)
        return surveyed

    def _look(self, entry: QueueEntry) -> None:
        """Set which training runs an entry consists of, and what is open of it."""
        runner = self._runner(entry, records=self.records)
        named, entry.tasks = runner.named_and_open()
        entry.trained = {task.arm for task in named if task.arm.trains}
        if entry.trains:
            config = runner.config
            tested = sum(_is_tested(arm) for arm in entry.trained)
            entry.unnamed = len(set(config.models)) * config.seeds - tested

    def _merged(self, studies: list[Study]) -> list[QueueEntry]:
        """Return one entry for each distinct need of the studies."""
        kind = self.session.kind
        merged: dict[str, QueueEntry] = {}
        for study in studies:
            question = hash_of(study, self.scale_for(study, seeds=None), kind)
            for need in study.needs(self.scale_for(study, self.seeds), kind):
                entry = merged.setdefault(
                    json.dumps(need.settings, sort_keys=True), QueueEntry(need)
                )
                entry.studies[study.name] = question
                entry.worth += need.worth
        return list(merged.values())

    def run(self, entries: list[QueueEntry], seconds: float | None) -> list[QueueEntry]:
        """Measure entries until all are done or `seconds` are over.

        Returns the entries that were not finished. Raises Interrupted on Ctrl-C.
        """
        until = None if seconds is None else self.session.now() + seconds
        left: list[QueueEntry] = []
        jobs = self._training_jobs()
        # Nothing is timed during training, so timed and training entries take turns.
        for trains, stretch in groupby(enumerate(entries, start=1), lambda pair: pair[1].trains):
            pool = JobPool(jobs) if trains else None
            pieces: list[Callable[[], None]] = []
            for number, entry in stretch:
                title = f"queue {number}/{len(entries)}"
                pieces.append(partial(self._measure, title, entry, until, left, pool))
            try:
                (pool or JobPool()).run(pieces)
            except KeyboardInterrupt:
                raise Interrupted(self.rounds) from None
        return left

    def _training_jobs(self) -> int:
        device = self.session.device
        config = RunConfig(data=self.data, device=device, jobs=self.jobs)
        return jobs_for(config, device, several=True)

    def _measure(
        self,
        title: str,
        entry: QueueEntry,
        until: float | None,
        left: list[QueueEntry],
        pool: JobPool | None,
    ) -> None:
        """Measure one entry; adds it to `left` if it was not finished."""
        remaining = None if until is None else until - self.session.now()
        # Timed arms mean something only if all of them are measured: they wait for the next call
        # unless all fit. A training entry may stop between arms.
        if remaining is not None and remaining < (LEAST_S if entry.trains else entry.seconds):
            left.append(entry)
            return
        self.session.observer.note(f"\n{title}: {entry.need.what}, for {', '.join(entry.studies)}")
        last_start = None if until is None else until - LEAST_S
        runner = self._runner(entry, until=last_start, pool=pool)
        try:
            if runner.run().left:
                left.append(entry)
        finally:
            self.rounds += runner.context.ledger.rounds

    def scale_for(self, study: Study, seeds: int | None) -> Scale | None:
        """Return the scale that a study is asked at; None if it trains nothing.

        `seeds` replaces the scale's number of seeds.
        """
        if not study.trains:
            return None
        return scale_of(self.data, seeds, self.scale, self.session.kind)

    @property
    def folder(self) -> Path:
        """This machine's folder in the results."""
        return self.session.folder

    @property
    def device(self) -> str:
        """A torch device, such as `cuda:0`."""
        return self.session.device

    def _config(self, entry: QueueEntry) -> RunConfig:
        settings = {"seed": self.seed, **entry.need.settings}
        return RunConfig(
            **settings,
            results=self.session.results,
            device=self.session.device,
            yes=True,
            force=self.force,
        )

    def _runner(
        self,
        entry: QueueEntry,
        until: float | None = None,
        pool: JobPool | None = None,
        records: dict[str, Record] | None = None,
    ) -> Runner:
        return Runner(
            self._config(entry),
            self.session,
            studies=entry.studies,
            until=until,
            pool=pool,
            records=records,
            again=self.again and not entry.trains,
        )

    def _forecast(self, entry: QueueEntry, past: Past, rate: Rate) -> None:
        """Set the cost of what is open, from this machine's records if there are any."""
        config, device = self._config(entry), self.session.device
        # All timed arms of an entry are measured together, even those that were measured before.
        tasks = entry.tasks if entry.trains else plan.make(config, device=device).tasks
        cost = estimate(config, tasks, past, device, rate)
        each = [line.once for line in cost.lines if line.want.arm.trains]
        # A search is followed by training runs as long as its trials.
        entry.unnamed_s = entry.unnamed * sum(each) / max(1, len(each))
        entry.cost = cost
        seconds = cost.seconds + entry.unnamed_s - past.habits.start  # a queue starts once
        entry.seconds = max(1.0, seconds)


def in_order(surveyed: list[QueueEntry]) -> list[QueueEntry]:
    """Return the entries of which anything is open, those worth the most per minute first."""
    open_entries = [entry for entry in surveyed if entry.tasks]
    return sorted(open_entries, key=lambda entry: -entry.worth / entry.seconds)


def seconds_of(entries: Iterable[QueueEntry]) -> float:
    """Return the forecast for some entries together: an arm that several need is measured once."""
    seconds = 0.0
    counted: set[Arm] = set()
    for entry in entries:
        if not entry.trains or entry.cost is None:
            seconds += entry.seconds
            continue
        for line in entry.cost.lines:
            if line.want.arm not in counted:
                seconds += line.once
                counted.add(line.want.arm)
        seconds += entry.unnamed_s
    return seconds


def _is_tested(arm: Arm) -> bool:
    """True for a training run that is no trial of a search."""
    return isinstance(arm, AccuracyArm) and arm.split == "test"
