"""One run: the order of its phases, and what they come to.

Counts come first, since they find bad combinations cheaply; then interleaved rounds over all timed
arms; then largest batches and accuracies. Nothing is rendered here: an observer gets events.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from bench.config import RunConfig
from bench.files import temporary
from bench.forecast import past_runs
from bench.forecast.past import Past
from bench.plan import plan
from bench.plan.forecast import Rate, budget_warning, estimate, is_known, rate_now
from bench.plan.shards import Part
from bench.plan.task import Task
from bench.record import names, store
from bench.record.arms import AccuracyArm, SpeedArm
from bench.record.store import Record
from bench.run.accuracy_phase import TOP1, AccuracyPhase
from bench.run.arm_run import ArmRun
from bench.run.backlog import Backlog
from bench.run.context import RunContext
from bench.run.lifecycle import Lifecycle
from bench.run.observer import Interrupted, Outcome
from bench.run.parallel import JobPool, jobs_for
from bench.run.rounds.elimination import Race
from bench.run.session import Session
from bench.run.single_readings import SingleReadings
from bench.run.speed_phase import SpeedPhase

COUNTING = "counting parameters and MACs"
"""This step's name, for people and in the ledger."""


@dataclass
class Runner:
    """One run of a session. `until` and `began` are times on the session's clock."""

    config: RunConfig
    session: Session
    studies: dict[str, str] = field(default_factory=dict)
    """The studies that the run is made for, each with the hash of its question."""
    until: float | None = None
    """No arm is begun after this time; what is left waits for the next run."""
    pool: JobPool | None = None
    """The pool that this run is one job of; None if it has the machine to itself."""
    again: bool = False
    """A study's speeds get another run, whose rounds are added to those that there are."""
    began: float | None = None
    """When the command began; now, unless given."""
    part: Part | None = None
    """The arms that are measured here; those of `--shard` unless given."""
    records: dict[str, Record] | None = None
    """This machine's records by key, if they have been read already."""
    race: Race | None = None
    """By which timed arms leave the rounds early."""

    def __post_init__(self) -> None:
        self.context = RunContext(
            self.config,
            self.session,
            self.studies,
            until=self.until,
            pool=self.pool,
            race=self.race,
        )
        self.lifecycle = Lifecycle(self.context)
        if self.began is None:
            self.began = self.session.now()

    def outstanding(self) -> list[Task]:
        """Return what `run` would measure, as far as it can be named in advance."""
        return self.named_and_open()[1]

    def named_and_open(self) -> tuple[list[Task], list[Task]]:
        """Return all accuracies that can be named in advance, and all that `run` would measure."""
        asked = self._plan()
        named = asked.accuracies(self.backlog.value_of)
        trainings = self.backlog.open_arms(named)
        timed_and_counted = self.backlog.counts_and_speeds(asked.tasks)
        return named, _tasks(timed_and_counted + trainings)

    def run(self) -> Outcome:
        """Measure what was asked for and is not finished.

        Raises Interrupted on Ctrl-C, UsageError on bad input.
        """
        asked = self._plan()
        accuracies = asked.accuracies(self.backlog.value_of)
        arm_runs = self.backlog.counts_and_speeds(asked.tasks)
        trainings = _tasks(self.backlog.open_arms(accuracies))
        open_tasks = _tasks(arm_runs) + trainings
        self.context.jobs = self._jobs(accuracies)
        for note in asked.notes:
            self.session.observer.note(note)
        self.accuracy_phase.require_consent(trainings)
        expected = self._expected(open_tasks)
        self._announce([*asked.tasks, *accuracies], open_tasks)
        self._warn_of_budget(open_tasks)
        along = plan.companions(self.config, asked.tasks, self.session.kind)
        # The compilers' caches are this run's own: a cached graph would compile in no time.
        with tempfile.TemporaryDirectory(prefix="compiler-", dir=temporary.folder()) as cache:
            self.context.cache = cache
            try:
                self.backlog.claim([*asked.tasks, *accuracies], self.lifecycle)
                self._measure(arm_runs, asked.tasks, along)
                accuracies, trained = self.accuracy_phase.measure(asked)
            except KeyboardInterrupt:
                raise Interrupted(self.context.ledger.rounds) from None
            finally:
                for arm_run in arm_runs:
                    arm_run.close()
                self._give_names(asked, [*asked.tasks, *accuracies])
        measured = len(arm_runs) - self.context.left + trained
        if measured and not self.context.left:
            self._account(expected, arm_runs, trained)
        return self._outcome([*asked.tasks, *accuracies, *along], measured)

    @cached_property
    def backlog(self) -> Backlog:
        """What is open, given the records as they were when the run began."""
        records = self.session.load_records() if self.records is None else self.records
        return Backlog(self.context, records, self.again)

    @cached_property
    def speed_phase(self) -> SpeedPhase:
        """Measures timed arms."""
        return SpeedPhase(self.context, self.backlog, self.lifecycle)

    @cached_property
    def readings(self) -> SingleReadings:
        """Measures what is measured once."""
        return SingleReadings(self.context, self.lifecycle)

    @cached_property
    def accuracy_phase(self) -> AccuracyPhase:
        """Evaluates and trains."""
        return AccuracyPhase(self.context, self.backlog, self.speed_phase, self.readings)

    def _plan(self) -> plan.Plan:
        return plan.make(self.config, device=self.session.device, part=self.part)

    def _jobs(self, accuracies: list[Task]) -> int:
        """Return the number of training runs at a time."""
        if self.pool is not None:
            return self.pool.jobs
        several = sum(task.arm.trains for task in accuracies) > 1
        return jobs_for(self.config, self.session.device, several=several)

    def _announce(self, tasks: list[Task], open_tasks: list[Task]) -> None:
        """Tell the observer what is to come, and who else uses the GPU."""
        session = self.session
        session.observer.planned(session.machine, session.folder, tasks, open_tasks)
        others = session.gpu.others(set()) if session.gpu is not None else []
        if others:
            session.observer.warn(
                f"{len(others)} other processes are using this GPU (pid "
                f"{', '.join(map(str, others))}) and will slow down what is measured"
            )

    def _measure(self, arm_runs: list[ArmRun], tasks: list[Task], along: list[Task]) -> None:
        """Measure counts, then speeds, then largest batches."""
        counts = [each for each in arm_runs if each.task.metrics[0].arm == "count"]
        timed = [each for each in arm_runs if each.arm.is_timed]
        capacities = [each for each in arm_runs if each.task.metrics[0].mode == "capacity"]
        self.readings.read(COUNTING, counts)
        self.speed_phase.measure(timed, tasks, along)
        self.readings.read("largest batch", capacities)

    def _expected(self, tasks: list[Task]) -> float | None:
        """Return the forecast in seconds, which the next ones are held against.

        None if it would take building a model, or a GPU: matmul_rate would leave a CUDA context
        open in this process during the measurement.
        """
        if not tasks or self.session.device != "cpu":
            return None
        for task in tasks:
            if isinstance(task.arm, SpeedArm | AccuracyArm) and not is_known(task.arm.model):
                return None
        return estimate(self.config, tasks, self._past, self.session.device, self._rate).seconds

    @cached_property
    def _past(self) -> Past:
        """This machine's past as it was when the run began."""
        fingerprint = self.session.machine.fingerprint
        records = [record.within(fingerprint) for record in self.backlog.records.values()]
        return Past.of(records, past_runs.read(self.session.folder))

    @cached_property
    def _rate(self) -> Rate:
        return rate_now(self.session.device)

    def _warn_of_budget(self, tasks: list[Task]) -> None:
        """Tell the observer if --time-budget is too short, before its time begins.

        The budgets of studies and of races are their own, so nobody could change them.
        """
        if self.config.time_budget is None or self.studies or self.race is not None:
            return
        device = self.session.device
        text = budget_warning(self.config, tasks, self._past, device, self._rate)
        if text is not None:
            self.session.observer.warn(text)

    def _account(self, expected: float | None, arm_runs: list[ArmRun], trained: int) -> None:
        """Add what this run took to the machine's past runs."""
        assert self.began is not None
        spent = self.context.ledger.seconds
        cost = past_runs.RunCost(
            run=self.context.run_id,
            took=self.session.now() - self.began,
            expected=expected,
            counts=sum(arm_run.task.metrics[0].arm == "count" for arm_run in arm_runs),
            counting=spent.get(COUNTING, 0.0),
            setups=sum(arm_run.arm.is_timed for arm_run in arm_runs),
            setting_up=spent.get("set-up", 0.0),
            windows=spent.get("windows", 0.0),
            rounds=spent.get("rounds", 0.0) - spent.get("renewing", 0.0),
            accuracies=trained,
            accuracy=spent.get(TOP1, 0.0),
        )
        past_runs.append(self.session.folder, cost)

    def _outcome(self, tasks: list[Task], measured: int) -> Outcome:
        context, folder = self.context, self.session.records
        return Outcome(
            folder=folder,
            records=self._written(tasks),
            measured=measured,
            ledger=context.ledger,
            left=context.left,
            failures=context.failures,
            partial=context.partial,
        )

    def _written(self, tasks: list[Task]) -> list[Path]:
        """Return the records of tasks that exist."""
        folder = self.session.records
        paths = [store.path_of(folder, task.arm, task.settings) for task in tasks]
        return [path for path in dict.fromkeys(paths) if path.exists()]

    def _give_names(self, asked: plan.Plan, tasks: list[Task]) -> None:
        """Write the names that --name gives into the records of their models, finished or not."""
        named = [task for task in tasks if task.arm.model in asked.names]
        names.give(self._written(named), asked.names, self.context.started)


def _tasks(arm_runs: list[ArmRun]) -> list[Task]:
    return [arm_run.task for arm_run in arm_runs]
