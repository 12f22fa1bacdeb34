"""Plan, rounds, records: decides what is measured when, and the only place that catches a failed arm.

It owns the order: counts first (they find bad combinations cheaply), then interleaved rounds over all speed arms,
then trainings. It never renders; whoever watches gets events.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol

from bench import environment, plan, record
from bench.config import RunConfig
from bench.errors import UsageError
from bench.plugins import Metric
from bench.record import EndLine, Machine, Record, RoundLine, RunLine, Sample, Scalar, SpeedArm
from bench.reference import reference_model
from bench.sidecar import write_arrays
from bench.worker import Failure, Job, Samples, Window, Worker, Workers

FINAL = ("ok", "unsupported")
"""How an arm may have ended for it to count as finished; the others are tried again."""


class Observer(Protocol):
    """What a run tells while it goes on. `fraction` is how much of the whole step is done."""

    def planned(self, machine: Machine, folder: Path, tasks: list[plan.Task], open_tasks: list[plan.Task]) -> None: ...

    def step(self, name: str, arm: str, done: int, total: int, seconds_left: float | None) -> None: ...

    def figure(self, arm: record.Arm, sample: Sample) -> None: ...

    def failed(self, arm: record.Arm, failure: Failure) -> None: ...


@dataclass
class Outcome:
    """What a run did. `records` are those of every arm that was asked for, measured now or before."""

    folder: Path
    records: list[Path]
    measured: int
    rounds: int
    failures: dict[str, str] = field(default_factory=dict)


class Interrupted(Exception):
    """Ctrl-C: `rounds` finished rounds are on disk."""

    def __init__(self, rounds: int) -> None:
        super().__init__(rounds)
        self.rounds = rounds


@dataclass
class Lane:
    """One arm of this run on its way: its open work, its record and its worker."""

    task: plan.Task
    path: Path
    rounds_had: dict[str, int]
    fresh: bool
    worker: Worker | None = None
    rounds_done: int = 0
    ended: bool = False
    started: bool = False

    def wants(self, metric: Metric, rounds: int) -> bool:
        """Whether this metric still needs a round."""
        wanted = min(rounds, metric.rounds or rounds)
        return self.rounds_had.get(metric.name, 0) + self.rounds_done < wanted


@dataclass
class Runner:
    """One run. `open_worker` and `now` are what tests replace."""

    config: RunConfig
    observer: Observer
    open_worker: Callable[[Job], Worker] = field(default_factory=lambda: Workers().open)
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.device = environment.resolve_device(self.config.device)
        self.results = usable_folder(self.config.results)
        self.machine = environment.describe(self.device, installation=environment.installation(self.results))
        self.folder = self.results / self.machine.name / "records"
        started = datetime.now(timezone.utc)
        self.run_id = f"{started:%Y%m%dT%H%M%S}-{random.SystemRandom().randrange(16**4):04x}"
        self.started = started.isoformat(timespec="seconds")
        self.commit = environment.commit()
        self.rounds = 0
        self.failures: dict[str, str] = {}

    def run(self) -> Outcome:
        """Measure what is asked for and not yet finished. Raises Interrupted on Ctrl-C, UsageError on bad input."""
        tasks = plan.make(self.config, device=self.device)
        records, damaged = record.load_folder(self.folder)
        if damaged:
            raise damaged[0]
        known = {found.head.key: found for found in records}
        lanes = [lane for task in tasks if (lane := self._lane(task, known.get(record.key_of(task.arm, task.settings))))]
        self.observer.planned(self.machine, self.folder.parent, tasks, [lane.task for lane in lanes])
        measured = len(lanes)
        try:
            for kind in ("count", "speed", "accuracy"):
                mine = [lane for lane in lanes if lane.task.metrics[0].arm == kind]
                if kind == "speed":
                    self._speeds(self._with_reference(mine, tasks))
                else:
                    self._once(kind, mine)
        except KeyboardInterrupt:
            raise Interrupted(self.rounds) from None
        finally:
            for lane in lanes:
                self._close(lane)
        paths = [record.path_of(self.folder, task.arm, task.settings) for task in tasks]
        return Outcome(self.folder, [path for path in paths if path.exists()], measured, self.rounds, self.failures)

    def _lane(self, task: plan.Task, found: Record | None) -> Lane | None:
        """What is still to be done of a task, or None where all of it is finished."""
        path = record.path_of(self.folder, task.arm, task.settings)
        mine = found.within(self.machine.fingerprint) if found else None
        if mine is None or self.config.force:
            return Lane(task, path, {}, fresh=self.config.force)
        finished = {name for end in mine.ends if self._settles(end) for name in end.metrics}
        kept = tuple(metric for metric in task.metrics if metric.name not in finished)
        had = {metric.name: sum(1 for _ in record.samples(mine, metric.name)) for metric in kept}
        return Lane(plan.with_metrics(task, kept), path, had, fresh=False) if kept else None

    def _settles(self, end: EndLine) -> bool:
        """Whether this end leaves nothing to do: a short one may go on where there is more time than it had."""
        more_time = self.config.time_budget is None or (end.time_budget is not None and self.config.time_budget > end.time_budget)
        return end.status in FINAL and not (end.short and more_time)

    def _with_reference(self, lanes: list[Lane], tasks: list[plan.Task]) -> list[Lane]:
        """The open speed arms and, where only some are open, the reference model beside them.

        Ratios are paired within a run: an arm measured alone could be compared with nothing. Where it is the
        reference that is open, all that are compared with it come along.
        """
        speeds = [task for task in tasks if isinstance(task.arm, SpeedArm)]
        if not lanes:
            return []
        open_arms = [lane.task.arm for lane in lanes]
        reference = reference_model((task.arm.model, task.about.family) for task in speeds)
        everybody = any(arm.model == reference for arm in open_arms)
        partners = [task for task in speeds if (everybody or task.arm.model == reference) and task.arm not in open_arms]
        for task in partners:
            if any(_comparable(task.arm, arm) for arm in open_arms):
                lanes = [*lanes, Lane(task, record.path_of(self.folder, task.arm, task.settings), {}, fresh=False)]
        return lanes

    def _once(self, kind: str, lanes: list[Lane]) -> None:
        """Counts and trainings: one arm after the other, one reading per metric."""
        for number, lane in enumerate(lanes):
            name = lane.task.arm.model

            def heard(text: str, number: int = number, name: str = name) -> None:
                self.observer.step(f"{STEP[kind]}", f"{name} {text}".rstrip(), number, len(lanes), None)

            heard("")
            if self._open(lane):
                self._round(lane, 1, list(lane.task.metrics), heard)
                self._end(lane, "ok")
            self._close(lane)

    def _speeds(self, lanes: list[Lane]) -> None:
        """All arms ready, then rounds over all of them in a fresh random order until enough or out of time."""
        try:
            for number, lane in enumerate(lanes):
                self.observer.step("building and warming up", label(lane.task.arm), number, len(lanes), None)
                self._open(lane)
            start, most = self.now(), self.config.rounds
            number = 0
            while open_lanes := [lane for lane in lanes if self._open_metrics(lane)]:
                number += 1
                left = self._seconds_left(start, number - 1, most)
                if number > 1 and self._out_of_time(start, number - 1):
                    break
                self._interleaved(number, most, open_lanes, left)
            for lane in lanes:
                self._end(lane, "ok", short=bool(self._open_metrics(lane)))
        finally:
            for lane in lanes:
                self._close(lane)

    def _open_metrics(self, lane: Lane) -> list[Metric]:
        if lane.ended or lane.worker is None:
            return []
        return [metric for metric in lane.task.metrics if lane.wants(metric, self.config.rounds)]

    def _out_of_time(self, start: float, rounds_done: int) -> bool:
        """Whether one more round like those so far would overrun the budget."""
        if self.config.time_budget is None:
            return False
        elapsed = self.now() - start
        return elapsed + elapsed / rounds_done > self.config.time_budget

    def _seconds_left(self, start: float, rounds_done: int, most: int) -> float | None:
        if rounds_done == 0:
            return self.config.time_budget
        elapsed = self.now() - start
        by_rounds = elapsed / rounds_done * (most - rounds_done)
        return by_rounds if self.config.time_budget is None else min(by_rounds, self.config.time_budget - elapsed)

    def _interleaved(self, number: int, most: int, lanes: list[Lane], left: float | None) -> None:
        """One round: a window of every open metric of every arm, in an order drawn for this round."""
        windows = [(lane, metric) for lane in lanes for metric in self._open_metrics(lane)]
        random.Random(f"{self.config.seed}:{self.run_id}:{number}").shuffle(windows)
        taken: dict[str, list[Sample]] = {lane.path.name: [] for lane in lanes}
        noise = environment.Noise()
        for lane, metric in windows:
            if lane.ended:
                continue
            self.observer.step("round", label(lane.task.arm), number, most, left)
            try:
                samples = _take(lane, metric, lambda text: None)
            except Failure as failure:
                self._fail(lane, failure)
                continue
            sample = _sample(metric, samples)
            taken[lane.path.name].append(sample)
            self.observer.figure(lane.task.arm, sample)
        disturbed = noise.disturbed()
        for lane in lanes:
            if not lane.ended:
                line = RoundLine(run=self.run_id, round=number, disturbed=disturbed, samples=taken[lane.path.name])
                record.append(lane.path, line)
                lane.rounds_done += 1
        self.rounds += 1

    def _open(self, lane: Lane) -> bool:
        """Start the worker of a lane and write its run line; False where it failed."""
        job = Job(lane.task.arm, self.device, lane.task.seed, environment.cores())
        lane.worker = self.open_worker(job)
        try:
            setup = lane.worker.ready()
        except Failure as failure:
            self._start(lane, {})
            self._fail(lane, failure)
            return False
        self._start(lane, setup)
        return True

    def _start(self, lane: Lane, setup: dict[str, Scalar]) -> None:
        task = lane.task
        record.create(self.folder, task.arm, task.settings, task.about)
        line = RunLine(
            run=self.run_id,
            started=self.started,
            version=environment.project_version(),
            commit=self.commit,
            seed=self.config.seed,
            machine=self.machine,
            setup=setup,
            fresh=lane.fresh,
        )
        record.append(lane.path, line)
        lane.started = True

    def _round(self, lane: Lane, number: int, metrics: list[Metric], heard: Callable[[str], None]) -> None:
        """One reading of every metric of a lane that is not interleaved."""
        samples: list[Sample] = []
        arrays: dict[str, object] = {}
        for metric in metrics:
            try:
                taken = _take(lane, metric, heard)
            except Failure as failure:
                self._fail(lane, failure)
                return
            samples.append(_sample(metric, taken))
            arrays |= taken.arrays
            self.observer.figure(lane.task.arm, samples[-1])
        sidecar = write_arrays(lane.path, self.run_id, arrays) if arrays else None
        record.append(lane.path, RoundLine(run=self.run_id, round=number, samples=samples, arrays=sidecar))
        lane.rounds_done += 1
        self.rounds += 1

    def _fail(self, lane: Lane, failure: Failure) -> None:
        """A failed arm is a result: written down, and the others go on."""
        if failure.usage:
            raise UsageError(failure.error)
        self._end(lane, failure.status, error=failure.error)
        self.failures[label(lane.task.arm)] = f"{failure.status}: {failure.error}"
        self.observer.failed(lane.task.arm, failure)
        self._close(lane)

    def _end(self, lane: Lane, status: record.Status, *, error: str | None = None, short: bool = False) -> None:
        if lane.ended:
            return
        lane.ended = True
        names = [metric.name for metric in lane.task.metrics]
        budget = self.config.time_budget if short else None
        line = EndLine(run=self.run_id, status=status, metrics=names, error=error, short=short, time_budget=budget)
        record.append(lane.path, line)

    @staticmethod
    def _close(lane: Lane) -> None:
        if lane.worker is not None:
            lane.worker.close()
            lane.worker = None


STEP = {"count": "counting parameters and MACs", "accuracy": "top-1"}


def label(arm: record.Arm) -> str:
    """A short name for one line of progress or failure."""
    if isinstance(arm, SpeedArm):
        return f"{arm.model} {arm.policy} b{arm.batch_size}"
    return arm.model


def _comparable(left: record.Arm, right: record.Arm) -> bool:
    """Whether a ratio of the two arms' speeds means something."""
    assert isinstance(left, SpeedArm) and isinstance(right, SpeedArm)
    return (left.policy, left.batch_size, left.image_size) == (right.policy, right.batch_size, right.image_size)


def _take(lane: Lane, metric: Metric, heard: Callable[[str], None]) -> Samples:
    assert lane.worker is not None
    seconds = lane.task.settings.get("window_s", 0.0)
    return lane.worker.take(Window(metric.name, float(seconds or 0.0)), heard)


def _sample(metric: Metric, samples: Samples) -> Sample:
    return Sample(metric=metric.name, unit=metric.unit, better=metric.better, values=samples.values, detail=samples.detail)


def usable_folder(path: Path) -> Path:
    """The results folder, made if need be; UsageError where it cannot be written to."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{random.SystemRandom().randrange(16**8):08x}"
        probe.touch()
        probe.unlink()
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"--results: {path} is a file or lies below one; a folder is needed, such as results") from None
    except OSError as error:
        raise UsageError(f"--results: {path} cannot be written to ({error.strerror}); give a folder that can") from None
    return path
