"""The timed arms of a run: interleaved rounds in as few groups as memory allows.

Where policies compete, each model's best is measured again in rounds that did not choose it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.forecast.round_rules import CHOOSING
from bench.measure.disturbance import State
from bench.plan.task import Task, with_role
from bench.record.arms import SpeedArm
from bench.record.schema import Phase
from bench.run.arm_run import ArmRun
from bench.run.backlog import Backlog
from bench.run.context import RunContext
from bench.run.lifecycle import Lifecycle
from bench.run.rounds import Rounds
from bench.stats.reference import reference_model

RESERVE = 512 << 20
"""Bytes of memory that stay free while arms share the machine."""


@dataclass
class SpeedPhase:
    """Measures timed arms. Arms that cannot share the memory are measured in groups."""

    context: RunContext
    backlog: Backlog
    lifecycle: Lifecycle

    def measure(self, arm_runs: list[ArmRun], tasks: list[Task], along: list[Task]) -> None:
        """Measure open arms next to finished arms of `tasks` that they are compared with.

        `along`: the A/A pair and the probes.
        """
        if not arm_runs:
            return
        config = self.context.config
        speeds = [task for task in tasks if task.arm.is_timed]
        choosing = config.slice is None and len(_policies(speeds)) > 1
        if config.slice is not None and len(arm_runs) > config.slice:
            self.context.left = len(arm_runs) - config.slice
            arm_runs = arm_runs[: config.slice]
        arm_runs = [*arm_runs, *self._partners(arm_runs, speeds, choosing)]
        open_arms = [arm_run.arm for arm_run in arm_runs]
        others = [task for task in along if task.arm not in open_arms]
        companions = list(map(self.backlog.new, others))
        try:
            if choosing:
                short = self._choose(arm_runs, companions)
            else:
                short = self._in_groups(arm_runs, companions, "measure", config.time_budget)
            for arm_run in [*arm_runs, *companions]:
                self.lifecycle.end_rounds(arm_run, short=arm_run in short)
        finally:
            for arm_run in [*arm_runs, *companions]:
                arm_run.close()

    def _choose(self, arm_runs: list[ArmRun], companions: list[ArmRun]) -> set[ArmRun]:
        """Choose each model's best policy and measure it anew; returns which fell short."""
        budget, race = self.context.config.time_budget, self.context.race
        share = CHOOSING if race is None else race.choosing
        short = self._in_groups(arm_runs, companions, "choose", budget and budget * share)
        running = [arm_run for arm_run in arm_runs if arm_run.status is None and not arm_run.out]
        best = best_policies(running)
        for arm_run in [*best, *companions]:
            earlier = None if arm_run.fresh else self.backlog.found(arm_run.task)
            arm_run.start_anew(earlier, ["confirm"])
        self._in_groups(best, companions, "confirm", budget and budget * (1 - share))
        return short

    def _in_groups(
        self,
        arm_runs: list[ArmRun],
        companions: list[ArmRun],
        phase: Phase,
        budget: float | None,
    ) -> set[ArmRun]:
        """Measure all arms, each group together with the reference; returns which fell short."""
        if not arm_runs:  # every policy failed: there is nothing to confirm
            return set()
        reference = _reference(arm_run.task for arm_run in arm_runs)
        shared = [arm_run for arm_run in arm_runs if arm_run.arm.model == reference] + companions
        waiting = [arm_run for arm_run in arm_runs if arm_run not in shared]
        total = max(1, len(waiting))
        short: set[ArmRun] = set()
        while True:
            before = self.context.session.now()
            group, later = self._open_group(shared, waiting)
            self.context.ledger.add("set-up", self.context.session.now() - before)
            share = max(1, len(waiting) - len(later)) / total
            rounds = self._rounds(group, phase, None if budget is None else budget * share)
            rounds.go()
            short.update(filter(rounds.short, group))
            for arm_run in group:
                arm_run.close()
            if not later:
                return short
            waiting = later

    def _partners(self, arm_runs: list[ArmRun], speeds: list[Task], choosing: bool) -> list[ArmRun]:
        """Return finished arms that take part again, since there would be no pairs without them.

        These are the reference for arms that are compared with it, and all that are compared with
        the reference if that is open itself. Where policies compete, a model's other policies are
        asked for again: a choice needs rounds of all of them.
        """
        open_arms = [arm_run.arm for arm_run in arm_runs]
        open_models = [arm.model for arm in open_arms]
        reference = _reference(speeds)
        partners: list[ArmRun] = []
        for task in speeds:
            if task.arm in open_arms:
                continue
            paired = reference in (task.arm.model, *open_models) and any(
                task.arm.comparable_with(arm) for arm in open_arms
            )
            if choosing and task.arm.model in open_models:
                partners.append(self.backlog.new(task))
            elif paired:
                partners.append(self.backlog.new(with_role(task, "reference")))
        return partners

    def _open_group(
        self, shared: list[ArmRun], waiting: list[ArmRun]
    ) -> tuple[list[ArmRun], list[ArmRun]]:
        """Open arms until memory is full; returns those that are ready, and those for later."""
        group: list[ArmRun] = []
        later: list[ArmRun] = []
        largest, ahead = 0, self.context.session.ahead
        alive = [arm_run for arm_run in [*shared, *waiting] if arm_run.status is None]
        for number, arm_run in enumerate(alive):
            if ahead:
                for soon in alive[number : number + 1 + ahead]:
                    self.lifecycle.prepare(soon)
            self.context.observer.step(
                "building and warming up", arm_run.arm.label, number, len(alive), None
            )
            free = self._free()
            first = arm_run in shared or not any(other in waiting for other in group)
            if free is not None and not first and free < 1.5 * largest + RESERVE:
                arm_run.close()
                later.append(arm_run)
            elif self.lifecycle.open(arm_run, patient=not first):
                group.append(arm_run)
                largest = max(largest, (free or 0) - (self._free() or 0))
            elif arm_run.status is None:
                later.append(arm_run)  # out of memory next to the others
        return group, later

    def _free(self) -> int | None:
        session = self.context.session
        return session.free(session.device, session.gpu)

    def _rounds(self, arm_runs: list[ArmRun], phase: Phase, budget: float | None) -> Rounds:
        context, session = self.context, self.context.session
        return Rounds(
            arm_runs=arm_runs,
            most=context.config.most_rounds,
            run=context.run_id,
            seed=context.config.seed,
            watch=context.observer,
            open_arm=self.lifecycle.open,
            fail=self.lifecycle.fail,
            drop=self.lifecycle.drop,
            phase=phase,
            time_budget=budget,
            target=context.config.target_ci,
            race=context.race,
            state=State(session.gpu, device=session.device),
            ledger=context.ledger,
            now=session.now,
        )


def _reference(tasks: Iterable[Task]) -> str:
    """Return the model that the others are compared with."""
    return reference_model((task.arm.model, task.about.family) for task in tasks)


def _policies(tasks: Iterable[Task]) -> set[str]:
    return {task.arm.policy for task in tasks if isinstance(task.arm, SpeedArm)}


def best_policies(arm_runs: list[ArmRun]) -> list[ArmRun]:
    """Return, of each model, the arms of its best policy, and those of handwritten kernels.

    The latter are not chosen from; they are measured again next to what was chosen.
    """
    by_model: dict[tuple[str, int, str], list[ArmRun]] = {}
    for arm_run in arm_runs:
        arm = arm_run.arm
        if isinstance(arm, SpeedArm):
            by_model.setdefault((arm.model, arm.image_size, arm.mode), []).append(arm_run)
    chosen: list[ArmRun] = []
    for members in by_model.values():
        best = _best(members)
        chosen += [each for each in members if each.policy == best or each.handwritten]
    return chosen


def _best(arm_runs: list[ArmRun]) -> str | None:
    """Return the policy of the best score among those that are chosen from; None without any."""
    scores: dict[str, tuple[int, int, float]] = {}
    for arm_run in arm_runs:
        score = None if arm_run.handwritten else _score(arm_run)
        if score is not None:
            scores[arm_run.policy] = max(scores.get(arm_run.policy, score), score)
    return max(scores, key=lambda policy: scores[policy], default=None)


def _score(arm_run: ArmRun) -> tuple[int, int, float] | None:
    """Rank by throughput before latency, then a larger batch, then the better median."""
    assert isinstance(arm_run.arm, SpeedArm)
    scores: list[tuple[int, int, float]] = []
    for metric in arm_run.metrics_of_all_rounds:
        values = sorted(arm_run.all_values(metric.name).values())
        if values:
            sign = 1 if metric.better == "higher" else -1
            scores.append((sign, arm_run.arm.batch_size, sign * values[len(values) // 2]))
    return max(scores, default=None)
