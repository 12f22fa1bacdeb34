"""Plan, rounds, records: decides what is measured when, and the only place that catches a failed arm.

It owns the order: counts first (they find bad combinations cheaply), then interleaved rounds over all speed arms in as
few groups as memory allows, then what is done once (largest batches, trainings). It never renders; whoever watches gets
events.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from bench.config import RunConfig
from bench.errors import UsageError
from bench.files import temporary
from bench.files.paths import inside
from bench.forecast import past_runs
from bench.forecast.past import Past
from bench.measure import interrupts
from bench.measure import machine as environment
from bench.measure.disturbance import State, free_memory
from bench.measure.gpu import Gpu, described, gpu_for
from bench.measure.messages import Chosen, Failure, Job, Samples, Window, Worker
from bench.plan import plan
from bench.plan.accuracies import hours, how
from bench.plan.forecast import estimate, is_known, rate_now
from bench.plan.shards import Part
from bench.plan.task import Task, window_of, with_metrics, with_role
from bench.plugins import Arrived, Metric, handwritten, launchers
from bench.record import arms, schema, store
from bench.record import values as record_values
from bench.record.arms import AccuracyArm, SpeedArm
from bench.record.arrays import write_arrays
from bench.record.schema import EndLine, Phase, RoundLine, RunLine, Sample, Scalar
from bench.record.store import Record
from bench.run.arm_run import Lane
from bench.run.observer import Interrupted, Ledger, Observer, Outcome
from bench.run.parallel import Abreast, jobs_for
from bench.run.rounds import Rounds, sample_of
from bench.stats.intervals import ROUNDS_FOR_INTERVAL
from bench.stats.mixed_effects import FEWEST
from bench.stats.reference import reference_model
from bench.training.images.files import Files

COUNTING, TOP1 = "counting parameters and MACs", "top-1"
"""What is done once, as it is called while it goes on and in the ledger."""
FINAL = ("ok", "unsupported", "diverged")
"""How an arm may have ended for it to count as finished; the others are tried again."""
CHOOSING = 0.6
"""Share of the time in which each model's best policy is chosen; the rest measures the chosen ones anew."""
RESERVE = 512 << 20
"""Bytes of memory that stay free when arms share the machine."""


@dataclass
class Runner:
    """One run. Whoever gives `open_worker` ends what it opens; `now`, `gpu` and `free` are what tests replace."""

    config: RunConfig
    observer: Observer
    open_worker: Callable[[Job], Worker]
    now: Callable[[], float] = time.monotonic
    gpu: Gpu | None = None
    studies: dict[str, str] = field(default_factory=dict)
    """What the run is made for, with the hash of each study's question."""
    again: bool = False
    """A study's timed arms get another run; its rounds are added to those that there are."""
    until: float | None = None
    """When, on the clock of `now`, nothing new is begun any more; what was not begun is left."""
    began: float | None = None
    """When the command began, on the clock of `now`; unless given, when this was made."""
    part: Part | None = None
    """Which arms are measured; those of the configuration's shard unless given."""
    abreast: Abreast | None = None
    """The work that goes on beside this run, which it is a piece of; none unless given."""
    free: Callable[[str, Gpu | None], int | None] = free_memory

    def __post_init__(self) -> None:
        self.began = self.now() if self.began is None else self.began
        self.device = environment.resolve_device(self.config.device)
        self.gpu = self.gpu or gpu_for(self.device)
        self.results = usable_folder(self.config.results)
        self.machine = environment.describe(
            self.device, installation=environment.installation(self.results)
        )
        self.folder = self.results / self.machine.name / "records"
        for folder in (self.folder, *Files.folders(self.folder.parent)):
            inside(self.results, folder)
        started = datetime.now(timezone.utc)
        self.run_id = f"{started:%Y%m%dT%H%M%S}-{random.SystemRandom().randrange(16**4):04x}"
        self.started = started.isoformat(timespec="seconds")
        self.commit, self.version = environment.commit(), environment.project_version()
        self.around: dict[str, Scalar] = described(self.device, self.gpu)
        if self.config.worker_memory is not None:
            self.around["worker_memory_gb"] = self.config.worker_memory
        self.ledger = Ledger()
        self.left = 0
        self.jobs = self.abreast.jobs if self.abreast else 1
        """How many trainings share the machine, each with its part of the processors."""
        self.failures: dict[str, str] = {}
        self.partial: dict[str, str] = {}
        self.arrived: dict[str, float] = {}
        """Values that were measured on other machines, by key."""

    def run(self) -> Outcome:
        """Measure what is asked for and not yet finished. Raises Interrupted on Ctrl-C, UsageError on bad input."""
        asked = self._read()
        tasks = asked.tasks
        along = plan.companions(self.config, tasks, self.device.partition(":")[0])
        lanes = self._lanes(tasks)
        accuracies = asked.accuracies(self._known)
        if self.abreast is None:
            self.jobs = jobs_for(
                self.config, self.device, several=sum(task.arm.trains for task in accuracies) > 1
            )
        trainings = [lane for task in accuracies if (lane := self._lane(task))]
        for note in asked.notes:
            self.observer.note(note)
        self._agreed([lane.task for lane in trainings])
        expected = self._expected([lane.task for lane in [*lanes, *trainings]])
        self.observer.planned(
            self.machine,
            self.folder.parent,
            [*tasks, *accuracies],
            [lane.task for lane in [*lanes, *trainings]],
        )
        if self.gpu is not None and (others := self.gpu.others(set())):
            self.observer.warn(
                f"{len(others)} other processes use this GPU (pid {', '.join(map(str, others))}): speeds will be theirs too"
            )
        # What the compiler keeps is the run's own, and in it each arm's: of two arms with one graph the second would
        # otherwise take no time to compile.
        with tempfile.TemporaryDirectory(prefix="compiler-", dir=temporary.folder()) as self.cache:
            try:
                self._claim([*tasks, *accuracies])
                self._once(
                    COUNTING, [lane for lane in lanes if lane.task.metrics[0].arm == "count"]
                )
                self._speeds([lane for lane in lanes if lane.arm.is_timed], tasks, along)
                self._once(
                    "largest batch",
                    [lane for lane in lanes if lane.task.metrics[0].mode == "capacity"],
                )
                accuracies, trained = self._accuracies(asked)
            except KeyboardInterrupt:
                raise Interrupted(self.ledger.rounds) from None
            finally:
                for lane in lanes:
                    lane.close()
        every = [*tasks, *accuracies, *along]
        paths = list(
            dict.fromkeys(store.path_of(self.folder, task.arm, task.settings) for task in every)
        )
        measured = len(lanes) - self.left + trained
        if measured and not self.left:
            self._account(expected, lanes, trained)
        existing = [path for path in paths if path.exists()]
        return Outcome(
            self.folder, existing, measured, self.ledger, self.left, self.failures, self.partial
        )

    def _expected(self, tasks: list[Task]) -> float | None:
        """Seconds that the estimate gives, for the next one to be held against; None where that takes a model or a GPU."""
        named = [task.arm.model for task in tasks if isinstance(task.arm, SpeedArm | AccuracyArm)]
        # Its matrix product would leave this process on a GPU for as long as arms are measured there.
        if not tasks or self.device != "cpu" or not all(is_known(name) for name in named):
            return None
        mine = [one.within(self.machine.fingerprint) for one in self.known.values()]
        return estimate(
            self.config, tasks, Past.of(mine, past_runs.read(self.folder.parent)), self.device
        ).seconds

    def _account(self, expected: float | None, lanes: list[Lane], trained: int) -> None:
        """What this run took."""
        assert self.began is not None
        spent = self.ledger.seconds
        timed = [lane for lane in lanes if lane.arm.is_timed]
        line = past_runs.Cost(
            run=self.run_id,
            took=self.now() - self.began,
            expected=expected,
            counts=sum(lane.task.metrics[0].arm == "count" for lane in lanes),
            counting=spent.get(COUNTING, 0.0),
            setups=len(timed),
            setting_up=spent.get("set-up", 0.0),
            windows=spent.get("windows", 0.0),
            rounds=spent.get("rounds", 0.0) - spent.get("renewing", 0.0),
            accuracies=trained,
            accuracy=spent.get(TOP1, 0.0),
        )
        past_runs.append(self.folder.parent, line)

    # What is still to be done

    def outstanding(self) -> list[Task]:
        """What a run would do, as far as it can be named before."""
        asked = self._read()
        trainings = [task for task in asked.accuracies(self._known) if self._lane(task)]
        return [*(lane.task for lane in self._lanes(asked.tasks)), *trainings]

    def _read(self) -> plan.Plan:
        """The plan, with the records that it is held against."""
        asked = plan.make(self.config, device=self.device, part=self.part)
        records, damaged = store.load_folder(self.folder)
        if damaged:
            raise damaged[0]
        self.known = {found.head.key: found for found in records}
        return asked

    def _lanes(self, tasks: list[Task]) -> list[Lane]:
        """What is still to be done of counts and speeds.

        A study compares each timed arm with each: they are finished once one run had all of them, and until then none is.
        """
        if not self.studies:
            return [lane for task in tasks if (lane := self._lane(task))]
        timed = [task for task in tasks if task.arm.is_timed]
        others = [lane for task in tasks if task not in timed and (lane := self._lane(task))]
        if self._met(timed) and not self.again and not self.config.force:
            return others
        return [*others, *(self._new_lane(task, fresh=self.config.force) for task in timed)]

    def _met(self, tasks: list[Task]) -> bool:
        """Whether a run has enough rounds of every one of these arms, or how it ended for those that have none."""
        had: list[set[str]] = []
        processes: list[Counter[str]] = []
        for task in tasks:
            mine = self._found(task)
            if mine is None:
                return False
            wanted = [one for one in task.metrics if not _never(mine, one)]
            if not wanted:
                continue  # it will not be had
            rounds = [
                Counter(run for run, _ in record_values.per_round(mine, one.name))
                for one in wanted
                if Rounds.timed(one)
            ]
            if not rounds:
                continue
            hopeless = {end.run for end in mine.ends if end.hopeless}
            every = set.intersection(*(set(one) for one in rounds))
            had.append(
                {
                    run
                    for run in every
                    if run in hopeless or all(one[run] >= ROUNDS_FOR_INTERVAL for one in rounds)
                }
            )
            processes.append(
                Counter(
                    run
                    for run, _ in {
                        (line.run, line.worker) for line in mine.rounds if line.run not in hopeless
                    }
                )
            )
        common = set.intersection(*had) if had else {""}
        # Of a single process nobody knows how the next would be: another run brings at least one more.
        return bool(common) and all(
            not one or sum(one[run] for run in common) >= FEWEST for one in processes
        )

    def _lane(self, task: Task) -> Lane | None:
        """What is still to be done of a task, or None where all of it is finished."""
        mine = self._found(task)
        if mine is None or self.config.force:
            return self._new_lane(task, fresh=self.config.force)
        runs = {run.run: run for run in mine.runs}
        finished = {
            name for end in mine.ends if self._settles(end, runs[end.run]) for name in end.metrics
        }
        kept = tuple(metric for metric in task.metrics if metric.name not in finished)
        return self._new_lane(with_metrics(task, kept), earlier=mine) if kept else None

    def _claim(self, tasks: list[Task]) -> None:
        """Say in the records of finished arms that only studies wanted so far that somebody asks for them now."""
        for task in tasks if not self.studies else ():
            mine = self._found(task)
            if (
                mine is not None
                and all(run.studies for run in mine.runs)
                and self._lane(task) is None
            ):
                self._start(self._new_lane(task))

    def _found(self, task: Task) -> Record | None:
        """What this machine, in its present state, has of a task."""
        found = self.known.get(arms.key_of(task.arm, task.settings))
        within = found.within(self.machine.fingerprint) if found else None
        return within if within and within.runs else None

    def _settles(self, end: EndLine, run: RunLine) -> bool:
        """Whether this end leaves nothing to do: a short one may go on where there is more time than it had.

        What could not be read or run is tried again by another version, or once a GPU tells more than it did in that run.
        """
        if end.status == "unsupported" and (run.version, *_readings(run.setup)) != (
            self.version,
            *_readings(self.around),
        ):
            return False
        target = self.config.target_ci
        narrower = target is not None and (end.target_ci is None or target < end.target_ci)
        more_time = self.config.time_budget is None or (
            end.time_budget is not None and self.config.time_budget > end.time_budget
        )
        return end.status in FINAL and not narrower and not (end.short and more_time)

    def _new_lane(self, task: Task, *, earlier: Record | None = None, fresh: bool = False) -> Lane:
        path = store.path_of(self.folder, task.arm, task.settings)
        lane = Lane(task, lambda line: store.append(path, line), fresh=fresh, role=task.role)
        lane.start_anew(earlier, record_values.MEASURED)
        return lane

    # Speeds

    def _speeds(self, lanes: list[Lane], tasks: list[Task], along: list[Task]) -> None:
        """All timed arms in interleaved rounds. Where policies compete, each model's best is then measured anew."""
        if not lanes:
            return
        speeds = [task for task in tasks if task.arm.is_timed]
        several = (
            self.config.slice is None
            and len({task.arm.policy for task in speeds if isinstance(task.arm, SpeedArm)}) > 1
        )
        if self.config.slice is not None and len(lanes) > self.config.slice:
            self.left = len(lanes) - self.config.slice
            lanes = lanes[: self.config.slice]
        lanes = [*lanes, *self._partners(lanes, speeds, several)]
        open_arms = [lane.arm for lane in lanes]
        companions = [self._new_lane(task) for task in along if task.arm not in open_arms]
        budget = self.config.time_budget
        try:
            short = self._in_groups(
                lanes,
                companions,
                "choose" if several else "measure",
                budget and budget * (CHOOSING if several else 1),
            )
            if several:
                best = best_policies([lane for lane in lanes if lane.status is None])
                for lane in [*best, *companions]:
                    lane.start_anew(None if lane.fresh else self._found(lane.task), ["confirm"])
                self._in_groups(best, companions, "confirm", budget and budget * (1 - CHOOSING))
            for lane in [*lanes, *companions]:
                self._end(lane, "ok", short=id(lane) in short)
        finally:
            for lane in [*lanes, *companions]:
                lane.close()

    def _in_groups(
        self, lanes: list[Lane], companions: list[Lane], phase: Phase, budget: float | None
    ) -> set[int]:
        """Rounds over all lanes, in as many groups as memory needs, each with the reference; returns which fell short."""
        if not lanes:  # none of those that were to be chosen from is left
            return set()
        reference = reference_model((lane.arm.model, lane.task.about.family) for lane in lanes)
        shared = [lane for lane in lanes if lane.arm.model == reference] + companions
        waiting = [lane for lane in lanes if lane not in shared]
        together = max(1, len(waiting))
        short: set[int] = set()
        while True:
            before = self.now()
            group, later = self._open_group(shared, waiting)
            self.ledger.add("set-up", self.now() - before)
            part = None if budget is None else budget * max(1, len(waiting) - len(later)) / together
            rounds = self._rounds(group, phase, part)
            rounds.go()
            short |= {id(lane) for lane in group if rounds.short(lane)}
            for lane in group:
                lane.close()
            if not later:
                return short
            waiting = later

    def _partners(self, lanes: list[Lane], speeds: list[Task], several: bool) -> list[Lane]:
        """Finished arms that take part again: without them there would be no pairs.

        The reference for arms that are compared with it; where the reference itself is open, all that are compared with
        it; and where policies are compared, a model's other policies.
        """
        open_arms = [lane.arm for lane in lanes]
        reference = reference_model((task.arm.model, task.about.family) for task in speeds)
        everybody = any(arm.model == reference for arm in open_arms)
        found = []
        for task in speeds:
            if task.arm in open_arms:
                continue
            pair = (everybody or task.arm.model == reference) and any(
                task.arm.comparable_with(arm) for arm in open_arms
            )
            if pair or (several and any(task.arm.model == arm.model for arm in open_arms)):
                found.append(self._new_lane(with_role(task, "reference")))
        return found

    def _open_group(self, shared: list[Lane], waiting: list[Lane]) -> tuple[list[Lane], list[Lane]]:
        """Lanes that are ready together, and those that have to wait: memory did not suffice for all at once."""
        group: list[Lane] = []
        later: list[Lane] = []
        largest = 0
        alive = [lane for lane in [*shared, *waiting] if lane.status is None]
        for number, lane in enumerate(alive):
            self.observer.step("building and warming up", lane.arm.label, number, len(alive), None)
            free = self.free(self.device, self.gpu)
            first = lane in shared or not any(one in waiting for one in group)
            if free is not None and not first and free < 1.5 * largest + RESERVE:
                later.append(lane)
            elif self._open(lane, patient=not first):
                group.append(lane)
                largest = max(largest, (free or 0) - (self.free(self.device, self.gpu) or 0))
            elif lane.status is None:
                later.append(lane)  # out of memory beside the others
        return group, later

    def _rounds(self, lanes: list[Lane], phase: Phase, budget: float | None) -> Rounds:
        return Rounds(
            lanes=lanes,
            most=self.config.most_rounds,
            run=self.run_id,
            seed=self.config.seed,
            watch=self.observer,
            open_lane=self._open,
            fail=self._fail,
            drop=self._drop,
            phase=phase,
            time_budget=budget,
            target=self.config.target_ci,
            state=State(self.gpu, device=self.device),
            ledger=self.ledger,
            now=self.now,
        )

    # Accuracies

    def _accuracies(self, asked: plan.Plan) -> tuple[list[Task], int]:
        """Evaluate and train what can be named, and then what can be named after that; returns all, and how many were done."""
        had: set[arms.Arm] = set()
        done = 0
        while not self._late() and (
            new := [task for task in asked.accuracies(self._known) if task.arm not in had]
        ):
            had |= {task.arm for task in new}
            lanes = [lane for task in new if (lane := self._lane(task))]
            if done:  # the first ones were agreed upon before anything was measured
                self._agreed([lane.task for lane in lanes])
            done += len(lanes)
            timed = [lane for lane in lanes if lane.arm.is_timed]
            self._speeds(timed, [lane.task for lane in timed], [])
            rest = [lane for lane in lanes if not lane.arm.is_timed]
            spread = launchers.get(self.config.launcher).spread
            if spread is None:
                self._once(TOP1, rest, 1 if self.abreast else self.jobs)
            elif rest:
                self._elsewhere(spread, rest)
        if (waiting := asked.others(self._known)) and (
            self.config.lr_search or self.config.equalise == "seconds"
        ):
            self.observer.note(
                f"{waiting} arms of other shards are open; what depends on them is measured by this command later"
            )
        return [task for task in asked.accuracies(self._known) if task.arm in had], done

    def _known(self, task: Task) -> float | None:
        """The value of a finished arm, -1 where it failed for good, None where it is still to be measured."""
        if (key := arms.key_of(task.arm, task.settings)) in self.arrived:
            return self.arrived[key]
        path = store.path_of(self.folder, task.arm, task.settings)
        found = store.load(path).within(self.machine.fingerprint) if path.exists() else None
        if found is None or not found.ends:
            return None
        name = task.metrics[0].name
        end = store.end_of(found, name)
        if end is None:
            return None
        if end.status != "ok":
            return -1.0
        values = list(record_values.per_round(found, name).values())
        return statistics.median(values) if values else None

    def _elsewhere(
        self, spread: Callable[[RunConfig, list[str]], Iterator[Arrived]], lanes: list[Lane]
    ) -> None:
        """Accuracy arms by a launcher; their records are written where they are measured."""
        before = self.now()
        names = {arms.key_of(lane.task.arm, lane.task.settings): lane.arm.model for lane in lanes}
        self.observer.step(
            TOP1, f"{len(lanes)} arms handed to {self.config.launcher}", 0, len(lanes), None
        )
        for number, one in enumerate(spread(self.config, list(names))):
            if one.refused:
                raise UsageError(one.refused)
            interrupts.check()
            if one.failure is not None:
                self.failures[f"{names[one.key]} {one.key}"] = one.failure
                self.observer.note(f"{names[one.key]}: {one.failure}")
            self.arrived[one.key] = -1.0 if one.value is None else one.value
            self.ledger.rounds += one.value is not None
            self.observer.step(TOP1, f"{names[one.key]} on {one.where}", number, len(lanes), None)
        self.ledger.add(TOP1, self.now() - before)

    def _agreed(self, tasks: list[Task]) -> None:
        """UsageError where trainings would take long and nobody said yes."""
        if self.config.yes or not any(task.arm.trains for task in tasks):
            return
        expected = hours(tasks, rate_now(self.device)(), self.config.data)
        kind = "GPU" if self.gpu is not None else "device"
        if expected > 1:
            raise UsageError(
                f"--recipe: these {len(tasks)} trainings take about {expected:.0f} {kind} hours (from their multiply-adds, right within a "
                "factor of a few); add --yes to start, or ask for fewer epochs, seeds or models"
            )
        self.observer.note(
            f"training  {len(tasks)} accuracy arms, very roughly {expected:.2g} {kind} hours by their multiply-adds; {how(tasks)}"
        )

    # What is done once

    def _once(self, name: str, lanes: list[Lane], jobs: int = 1) -> None:
        """One reading per metric of every arm, `jobs` of them at a time."""
        before, progress = self.now(), Progress(name, len(lanes), self.observer)
        mine = Abreast(jobs)

        def piece(lane: Lane) -> None:
            words = lane.arm.label + (f" seed {lane.task.seed}" if self.jobs > 1 else "")

            def heard(text: str) -> None:
                for one in filter(None, (mine, self.abreast)):
                    one.check()
                progress.say(words, text)

            try:
                if self._late():
                    self.left += 1
                    return
                if self.abreast is not None and not self.abreast.take(
                    arms.key_of(lane.task.arm, lane.task.settings)
                ):
                    return
                heard("")
                if self._open(lane):
                    self._read_once(lane, heard)
                    self._end(lane, "ok")
            finally:
                lane.close()
                progress.done(words)

        mine.run(partial(piece, lane) for lane in lanes)
        self.ledger.add(name, self.now() - before)

    def _late(self) -> bool:
        """Whether nothing new is to be begun."""
        return self.until is not None and self.now() > self.until

    def _read_once(self, lane: Lane, heard: Callable[[str], None]) -> None:
        """One reading of every metric. One that fails takes only itself; the next gets a new process."""
        samples: list[Sample] = []
        arrays: dict[str, Any] = {}
        failed: dict[str, Failure] = {}
        for metric in lane.task.metrics:
            try:
                if lane.worker is None:
                    lane.open(lambda: self.open_worker(self._job(lane)), self.now)
                taken = take(lane, metric, heard)
                samples.append(sample_of(metric, taken))
            except Failure as failure:
                lane.close()
                failed[metric.name] = failure
                continue
            arrays |= taken.arrays
            self.observer.figure(lane.arm, samples[-1])
        if samples:
            path = store.path_of(self.folder, lane.task.arm, lane.task.settings)
            sidecar = write_arrays(path, self.run_id, arrays) if arrays else None
            lane.write(RoundLine(run=self.run_id, round=1, samples=samples, arrays=sidecar))
            self.ledger.rounds += 1
            Files(self.folder.parent, path.stem).checkpoint.unlink(
                missing_ok=True
            )  # the record stands now
        self._end_apart(lane, [sample.metric for sample in samples], failed)

    def _end_apart(self, lane: Lane, measured: list[str], failed: dict[str, Failure]) -> None:
        """One end line for what was measured, and one for each reason why something was not."""
        if measured and failed:
            self._end(lane, "ok", metrics=measured)
        for failure, names in _by_reason(failed):
            if not measured and len(names) == len(lane.task.metrics):
                self._fail(lane, failure)
                return
            if failure.usage:
                raise UsageError(failure.error)
            lane.status = None
            self._end(lane, failure.status, error=failure.error, metrics=names)
            told = Failure(failure.status, f"{', '.join(names)}: {failure.error}")
            self.partial[lane.arm.label] = f"{told.status}: {told.error}"
            self.observer.failed(lane.arm, told)

    # Lanes begin and end

    def _open(self, lane: Lane, patient: bool = False) -> bool:
        """A new process for a lane, built and warmed up; False where it failed.

        `patient`: out of memory beside others is no verdict on the arm; it is postponed once instead.
        """
        job = self._job(lane)
        try:
            lane.open(lambda: self.open_worker(job), self.now)
        except Failure as failure:
            if failure.status == "oom" and patient and not lane.postponed:
                lane.postponed = True
                lane.process -= 1
                lane.close()
                return False
            self._start(lane)
            self._fail(lane, failure)
            return False
        self._start(lane)
        return True

    def _job(self, lane: Lane) -> Job:
        """What a new process of a lane is told."""
        path, checkpoint = (
            store.path_of(self.folder, lane.task.arm, lane.task.settings),
            self.config.checkpoint,
        )
        beside = self.jobs if lane.arm.reads_images else 1
        return Job(
            arm=lane.arm,
            device=self.device,
            seed=lane.task.seed,
            threads=max(1, environment.cores() // beside),
            timeout=self.config.timeout,
            memory=None
            if self.config.worker_memory is None
            else int(self.config.worker_memory * 1e9),
            cache=os.path.join(
                self.cache, f"{path.stem}-{lane.process}" if lane.cold else path.stem
            ),
            folder=str(self.folder.parent),
            stem=path.stem,
            fresh=lane.fresh,
            data=self.config.data,
            beside=beside,
            chosen=Chosen(
                str(checkpoint) if checkpoint else None,
                self.config.checkpoint_key,
                self.config.view,
                self.config.spread,
            ),
        )

    def _start(self, lane: Lane) -> None:
        """The run line of a lane, with its first process."""
        if lane.process > 1:
            return
        task = lane.task
        store.create(self.folder, task.arm, task.settings, task.about)
        lane.write(
            RunLine(
                run=self.run_id,
                started=self.started,
                version=self.version,
                commit=self.commit,
                seed=self.config.seed,
                machine=self.machine,
                setup=lane.setup | self.around,
                fresh=lane.fresh,
                role=lane.role,
                studies=self.studies,
            )
        )

    def _fail(self, lane: Lane, failure: Failure) -> None:
        """A failed arm is a result: written down, and the others go on."""
        if failure.usage:
            raise UsageError(failure.error)
        self._end(lane, failure.status, error=failure.error)
        if lane.role != "probe":
            self.failures[lane.arm.label] = f"{failure.status}: {failure.error}"
        self.observer.failed(lane.arm, failure)
        lane.close()

    def _drop(self, lane: Lane, metric: str, failure: Failure) -> None:
        """One metric of an arm cannot be had here: that is its end, and the arm's other metrics go on."""
        if failure.usage:
            raise UsageError(failure.error)
        lane.write(
            EndLine(run=self.run_id, status=failure.status, metrics=[metric], error=failure.error)
        )
        self.partial[f"{lane.arm.label} {metric}"] = f"{failure.status}: {failure.error}"
        self.observer.failed(lane.arm, Failure(failure.status, f"{metric}: {failure.error}"))

    def _end(
        self,
        lane: Lane,
        status: schema.Status,
        *,
        error: str | None = None,
        short: bool = False,
        metrics: list[str] | None = None,
    ) -> None:
        """The end line of a lane's metrics, all of them unless named; the first one of a lane stands."""
        if lane.status is not None:
            return
        lane.status = status
        lane.write(
            EndLine(
                run=self.run_id,
                status=status,
                metrics=metrics or lane.kept,
                error=error,
                short=short,
                hopeless=lane.hopeless,
                time_budget=self.config.time_budget if short else None,
                target_ci=self.config.target_ci,
            )
        )


@dataclass
class Progress:
    """What is done once and how far each arm is, for whoever watches."""

    name: str
    total: int
    observer: Observer
    finished: int = 0
    words: dict[str, str] = field(default_factory=dict)

    def say(self, arm: str, text: str) -> None:
        """An arm is so far."""
        self.words[arm] = text
        self.observer.step(
            self.name,
            " · ".join(f"{one} {said}".rstrip() for one, said in list(self.words.items())),
            self.finished,
            self.total,
            None,
        )

    def done(self, arm: str) -> None:
        """An arm is finished."""
        self.words.pop(arm, None)
        self.finished += 1


def _by_reason(failed: dict[str, Failure]) -> list[tuple[Failure, list[str]]]:
    """Failures with the metrics that they took, metrics of one reason together."""
    found: dict[tuple[str, str], tuple[Failure, list[str]]] = {}
    for name, failure in failed.items():
        found.setdefault((failure.status, failure.error), (failure, []))[1].append(name)
    return list(found.values())


def _never(mine: Record, metric: Metric) -> bool:
    """Whether a metric ended for good without a value."""
    end = store.end_of(mine, metric.name)
    return end is not None and end.status in FINAL and end.status != "ok"


def _readings(setup: dict[str, Scalar]) -> list[Scalar]:
    """What decides whether a metric that could not be had can be had now."""
    return [setup.get("gpu_tells"), setup.get("worker_memory_gb")]


def best_policies(lanes: list[Lane]) -> list[Lane]:
    """Of every model the lanes of the policy that did best: by throughput at its largest batch, else by latency.

    Handwritten ones take no part in that; they are measured again beside what was chosen.
    """
    by_model: dict[tuple[str, int, str], list[tuple[Lane, SpeedArm]]] = {}
    for lane in lanes:
        if isinstance(arm := lane.arm, SpeedArm):
            by_model.setdefault((arm.model, arm.image_size, arm.mode), []).append((lane, arm))
    found: list[Lane] = []
    for mine in by_model.values():
        scores: dict[str, tuple[int, int, float]] = {}
        for lane, arm in [(lane, arm) for lane, arm in mine if not handwritten(arm.policy)]:
            for metric in lane.task.metrics:
                values = sorted(lane.all_values(metric.name).values())
                if not values or metric.rounds is not None:
                    continue
                # Throughput decides before latency, a larger batch before a smaller one, then the better median.
                sign = 1 if metric.better == "higher" else -1
                score = (sign, arm.batch_size, sign * values[len(values) // 2])
                scores[arm.policy] = max(scores.get(arm.policy, score), score)
        best = max(scores, key=lambda policy: scores[policy], default=None)
        found += [lane for lane, arm in mine if arm.policy == best or handwritten(arm.policy)]
    return found


def take(lane: Lane, metric: Metric, heard: Callable[[str], None]) -> Samples:
    """One window outside rounds. What was heard last is told again and again: a step of a training can take minutes."""
    assert lane.worker is not None
    last = [""]

    def hear(text: str) -> None:
        last[0] = text
        heard(text)

    return lane.worker.take(
        Window(metric.name, window_of(lane.task, metric)), hear, lambda: heard(last[0])
    )


def usable_folder(path: Path) -> Path:
    """The results folder, made if need be; UsageError where it cannot be written to."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{random.SystemRandom().randrange(16**8):08x}"
        probe.touch()
        probe.unlink()
    except (FileExistsError, NotADirectoryError):
        raise UsageError(
            f"--results: {path} is a file or lies below one; a folder is needed, such as results"
        ) from None
    except OSError as error:
        raise UsageError(
            f"--results: {path} cannot be written to ({error.strerror}); give a folder that can"
        ) from None
    return path
