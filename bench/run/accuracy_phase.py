"""The accuracies of a run: what can be named is measured, then what can be named after that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.config import RunConfig
from bench.errors import UsageError
from bench.measure import interrupts
from bench.plan.forecast import rate_now
from bench.plan.plan import Plan
from bench.plan.task import Task
from bench.plan.trainings import description, hours
from bench.plugins import Arrived, launchers
from bench.record import arms
from bench.run.arm_run import ArmRun
from bench.run.backlog import Backlog
from bench.run.context import RunContext
from bench.run.single_readings import SingleReadings
from bench.run.speed_phase import SpeedPhase
from bench.stats.formatting import number

TOP1 = "top-1"
"""This step's name, for people and in the ledger."""


@dataclass
class AccuracyPhase:
    """Evaluates and trains, here or through a launcher."""

    context: RunContext
    backlog: Backlog
    speeds: SpeedPhase
    readings: SingleReadings

    def measure(self, plan: Plan) -> tuple[list[Task], int]:
        """Measure until nothing new can be named.

        Returns all tasks that were named, and how many of them were measured now.
        """
        named: set[arms.Arm] = set()
        done = 0
        while not self.context.too_late:
            new = [task for task in self._all(plan) if task.arm not in named]
            if not new:
                break
            named.update(task.arm for task in new)
            arm_runs = self.backlog.open_arms(new)
            if done:  # the first ones were agreed to before anything was measured
                self.require_consent([arm_run.task for arm_run in arm_runs])
            self._measure(arm_runs)
            done += len(arm_runs)
        self._tell_of_other_shards(plan)
        return [task for task in self._all(plan) if task.arm in named], done

    def _all(self, plan: Plan) -> list[Task]:
        return plan.accuracies(self.backlog.value_of)

    def _measure(self, arm_runs: list[ArmRun]) -> None:
        timed = [arm_run for arm_run in arm_runs if arm_run.arm.is_timed]
        self.speeds.measure(timed, [arm_run.task for arm_run in timed], [])
        rest = [arm_run for arm_run in arm_runs if not arm_run.arm.is_timed]
        spread = launchers.get(self.context.config.launcher).spread
        if spread is None:
            jobs = 1 if self.context.pool else self.context.jobs
            self.readings.read(TOP1, rest, jobs)
        elif rest:
            self._elsewhere(spread, rest)

    def _elsewhere(
        self, spread: Callable[[RunConfig, list[str]], Iterator[Arrived]], arm_runs: list[ArmRun]
    ) -> None:
        """Measure arms by a launcher; the machines that measure them write the records."""
        context, config = self.context, self.context.config
        before, total = context.session.now(), len(arm_runs)
        names: dict[str, str] = {}
        for arm_run in arm_runs:
            names[arms.key_of(arm_run.arm, arm_run.task.settings)] = arm_run.arm.model
        handed = f"{total} configurations handed to {config.launcher}"
        context.observer.step(TOP1, handed, 0, total, None)
        for done, arrived in enumerate(spread(config, list(names))):
            if arrived.refused:
                raise UsageError(arrived.refused)
            interrupts.check()
            name = names[arrived.key]
            self._note(arrived, name)
            context.observer.step(TOP1, f"{name} on {arrived.where}", done, total, None)
        context.ledger.add(TOP1, context.session.now() - before)

    def _note(self, arrived: Arrived, name: str) -> None:
        """Keep a value, or why there is none."""
        if arrived.failure is not None:
            self.context.failures[f"{name} {arrived.key}"] = arrived.failure
            self.context.observer.note(f"{name}: {arrived.failure}")
        self.backlog.arrived[arrived.key] = -1.0 if arrived.value is None else arrived.value
        self.context.ledger.rounds += arrived.value is not None

    def _tell_of_other_shards(self, plan: Plan) -> None:
        config = self.context.config
        waiting = plan.others(self.backlog.value_of)
        if waiting and (config.lr_search or config.equalise == "seconds"):
            self.context.observer.note(
                f"{waiting} configurations of other shards are not finished; rerun this command "
                "once they are, to measure what depends on them"
            )

    def require_consent(self, tasks: list[Task]) -> None:
        """UsageError if training would take more than an hour and `--yes` was not given."""
        config = self.context.config
        trainings = [task for task in tasks if task.arm.trains]
        if config.yes or not trainings:
            return
        session, number_of = self.context.session, f"{len(trainings)} of {len(tasks)}"
        expected = hours(tasks, rate_now(session.device)(), config.data)
        kind = "GPU" if session.gpu is not None else "device"
        takes = f"{number(expected)} {kind} hours"
        if expected > 1:
            raise UsageError(
                f"--recipe: these {len(trainings)} training runs would take about {takes} "
                "(estimated from multiply-adds, right within a factor of a few); add --yes to "
                "start them, or ask for fewer epochs, seeds or models"
            )
        session.observer.note(
            f"training  {number_of} configurations, very roughly {takes} (estimated from "
            f"multiply-adds); {description(trainings)}"
        )
