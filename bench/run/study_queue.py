"""What studies need, as a queue of runs: what brings most per minute comes first, and nothing is measured twice.

Each entry is a run like any other, so a queue that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path

from bench.claims.questions import hash_of
from bench.claims.scales import Scale, scale_of
from bench.config import RunConfig
from bench.forecast.forecast import Forecast
from bench.forecast.past import Past
from bench.measure import machine
from bench.measure.messages import Job, Worker
from bench.plan import plan
from bench.plan.forecast import Rate, estimate, rate_now
from bench.plan.task import Task
from bench.plugins import Need, Study
from bench.record.schema import Machine
from bench.run.observer import Interrupted, Observer
from bench.run.parallel import Abreast, jobs_for
from bench.run.runner import Runner

LEAST_S = 20.0
"""A queue begins nothing in the last seconds of its time; its last training may still take as long."""


@dataclass
class Entry:
    """A run that one or more studies need, what it is worth to them together, and what is open of it."""

    need: Need
    studies: dict[str, str] = field(default_factory=dict)
    worth: float = 0.0
    seconds: float = 0.0
    tasks: list[Task] = field(default_factory=list)
    cost: Forecast | None = None

    @property
    def trains(self) -> bool:
        """Whether it may be cut anywhere between two arms."""
        return "data" in self.need.settings


@dataclass
class Queue:
    """The entries that have anything open, best first."""

    results: Path
    device: str
    data: str
    seed: int
    observer: Observer
    open_worker: Callable[[Job], Worker]
    seeds: int | None = None
    """Trainings of each model, where others are wanted than the scale has."""
    again: bool = False
    """Timed runs are made once more, and their rounds added."""
    force: bool = False
    """All of it is measured anew, and supersedes what there was."""
    scale: str | None = None
    """small or authors, where the data set has both; what the device can do unless given."""
    jobs: int | None = None
    """Trainings at a time on a CPU; one per processor where the images are small, unless given."""
    now: Callable[[], float] = time.monotonic
    rounds: int = 0
    """Finished so far."""

    def entries(self, studies: list[Study]) -> list[Entry]:
        """What the studies lack. Needs that several studies share are one entry."""
        device, kind = self._device, self._device.partition(":")[0]
        merged: dict[str, Entry] = {}
        for study in studies:
            asked = hash_of(study, self._scale(study, seeds=None), kind)
            for need in study.needs(self._scale(study, self.seeds), kind):
                entry = merged.setdefault(json.dumps(need.settings, sort_keys=True), Entry(need))
                entry.studies[study.name] = asked
                entry.worth += need.worth
        for entry in merged.values():
            entry.tasks = self._runner(entry).outstanding()
        found = [entry for entry in merged.values() if entry.tasks]
        past = Past.read(self.folder, self._machine.fingerprint)
        rate = rate_now(device)
        for entry in found:
            self._expect(entry, past, rate)
        return sorted(found, key=lambda entry: -entry.worth / entry.seconds)

    def run(self, entries: list[Entry], seconds: float | None) -> list[Entry]:
        """Measure entry after entry until all are done or the time is over; returns what was not finished."""
        until = None if seconds is None else self.now() + seconds
        left: list[Entry] = []

        def piece(number: int, entry: Entry, abreast: Abreast | None) -> None:
            remaining = None if until is None else until - self.now()
            # A training that does not fit waits for the next call; so do timed rounds, which only mean something whole.
            if remaining is not None and remaining < (LEAST_S if entry.trains else entry.seconds):
                left.append(entry)
                return
            self.observer.note(
                f"\nqueue {number}/{len(entries)}: {entry.need.what}, for {', '.join(entry.studies)}"
            )
            runner = self._runner(entry)
            runner.until, runner.abreast = None if until is None else until - LEAST_S, abreast
            try:
                if runner.run().left:
                    left.append(entry)
            finally:
                self.rounds += runner.ledger.rounds

        jobs = jobs_for(
            RunConfig(data=self.data, device=self.device, jobs=self.jobs),
            self._device,
            several=True,
        )
        # Nothing is timed while a training goes on: stretches of timed entries and of trainings take turns.
        for trains, stretch in groupby(enumerate(entries, start=1), lambda pair: pair[1].trains):
            pool = Abreast(jobs) if trains else None
            try:
                (pool or Abreast()).run(
                    partial(piece, number, entry, pool) for number, entry in stretch
                )
            except KeyboardInterrupt:
                raise Interrupted(self.rounds) from None
        return left

    def _scale(self, study: Study, seeds: int | None) -> Scale | None:
        """Return the scale that a study is asked at, with so many seeds where they are given; None where it trains nothing."""
        return (
            scale_of(self.data, seeds, self.scale, self._device.partition(":")[0])
            if study.trains
            else None
        )

    @cached_property
    def _device(self) -> str:
        return machine.resolve_device(
            RunConfig(device=self.device).device
        )  # which refuses what is none

    @cached_property
    def _machine(self) -> Machine:
        return machine.describe(self._device, installation=machine.installation(self.results))

    @property
    def folder(self) -> Path:
        """This machine's, in the results folder."""
        return self.results / self._machine.name

    def _config(self, entry: Entry) -> RunConfig:
        settings = {"seed": self.seed, **entry.need.settings}
        return RunConfig(
            **settings, results=self.results, device=self.device, yes=True, force=self.force
        )

    def _runner(self, entry: Entry) -> Runner:
        return Runner(
            self._config(entry),
            self.observer,
            self.open_worker,
            now=self.now,
            studies=entry.studies,
            again=self.again and not entry.trains,
        )

    def _expect(self, entry: Entry, past: Past, rate: Rate) -> None:
        """What is open of an entry costs so much, by this machine's records where there are some."""
        config = self._config(entry)
        tasks = (
            entry.tasks if entry.trains else plan.make(config, device=self._device).tasks
        )  # timed arms meet all together
        entry.cost = found = estimate(config, tasks, past, self._device, rate)
        # The trainings after a search have the length of its trials.
        each = found.training_seconds / max(1, found.trainings)
        later = each * config.seeds * len(config.models) if config.lr_search else 0.0
        entry.seconds = max(1.0, found.seconds + later - past.habits.start)  # a queue begins once
