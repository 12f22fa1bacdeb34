"""Interleaved rounds over arms that are all ready: the heart of how speeds are measured.

Every round visits every open window once, in an order drawn for that round. At preset looks (rounds 6, 9, 13, 19 ...)
an arm whose interval is narrow enough is done, if it is at two of them. Every arm gets several processes, renewed by turns,
so that what differs between processes is in the interval too. Beside a slow model the windows of quick ones are longer:
their noise would otherwise decide how many of the slow one's calls are needed. Where policies compete, those that are
hopeless leave early. Windows beside which others were busy are marked and, where a quiet one can be hoped for, repeated a
bounded number of times.
Nothing here knows of files: lines go to each lane's `write`.
"""

from __future__ import annotations

import math
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bench.errors import one_line
from bench.forecast.round_rules import (
    DEAR,
    FIRST_LOOK,
    PROCESSES,
    PROCESSES_IF_DEAR,
    RENEWING,
    SENTINEL_EVERY,
)
from bench.measure import interrupts
from bench.measure.disturbance import State
from bench.measure.messages import Failure, Samples, Window
from bench.plan.task import window_of
from bench.plugins import Metric, handwritten
from bench.record.arms import SpeedArm
from bench.record.schema import Phase, RoundLine, Sample
from bench.run.arm_run import Lane
from bench.run.observer import Ledger, Watcher
from bench.stats.intervals import ROUNDS_FOR_INTERVAL, Estimate
from bench.stats.paired import level, paired_ratio
from bench.stats.reference import SENTINEL, reference_model

LOOKS = 1.4
"""Looks follow at this many times as many rounds, and so on: finer ones would stop at lucky intervals more often,
doubling spent up to half of the time on what was known."""
WINDOW_SHARE, LONGEST_WINDOW = 0.25, 1.0
"""A window lasts at least this share of the slowest arm's call, but no longer than so many seconds."""
HOPELESS, HOPELESS_AFTER = 2.0, 2
"""In a choosing phase a policy leaves after this many rounds in each of which another one of its model's was this many
times as good, in every metric."""
LIFE, SHORTEST = 2.0, 3
"""A process lives for twice the square root of what it costs over what a round of its arm costs, so that the least time gives
the narrowest interval where processes differ half as much as rounds do; at least for so many rounds, if there are enough."""
OVERHEAD = 1.15
"""What a round takes over what its windows took last."""
REPEATS = 2
REPEATING = 0.1
"""A disturbed window is repeated at most `REPEATS` times, and all repetitions are at most this share of all windows."""
RECENT, RESTLESS = 10, 0.5
"""No window is repeated while more than this share of the last so many were disturbed: the next would be no better, and
its time is worth more as another round. (Beside two programs on two cores that came and went, seven windows in ten were, and
repetitions took an eighth of the time.)"""


@dataclass(kw_only=True)
class Rounds:
    """Rounds over `lanes`, all alive. `open_lane` starts a lane's process anew, `fail` ends a lane with a status."""

    lanes: list[Lane]
    most: int
    run: str
    seed: int
    watch: Watcher
    open_lane: Callable[[Lane], bool]
    fail: Callable[[Lane, Failure], None]
    drop: Callable[[Lane, str, Failure], None] | None = None
    """Ends one metric of a lane, which goes on; None: the first failure ends all of it."""
    phase: Phase = "measure"
    time_budget: float | None = None
    target: float | None = None
    state: State = field(default_factory=State)
    ledger: Ledger = field(default_factory=Ledger)
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        contestants = [lane for lane in self.lanes if lane.contestant]
        self.reference = (
            reference_model((lane.arm.model, lane.task.about.family) for lane in contestants)
            if contestants
            else ""
        )
        self.done = 0
        self.renewed_s = 0.0
        self.renewals: Counter[int] = Counter()
        """New processes in this phase, by lane."""
        self.age: Counter[int] = Counter()
        """Rounds of the process that a lane has now."""
        self.turns = dict(self._turns())
        self.recent: deque[bool] = deque(maxlen=RECENT)
        """Whether each of the last windows was disturbed."""
        self.took: dict[tuple[int, str], float] = {}
        """Seconds of the last window by lane and metric."""

    def go(self) -> None:
        """Measure until nothing is open or the time is over."""
        self.start = self.now()
        look = FIRST_LOOK
        slowest = max(
            (float(lane.setup.get("seconds_per_call") or 0) for lane in self.lanes), default=0.0
        )
        self.least_window = min(LONGEST_WINDOW, WINDOW_SHARE * slowest)
        while windows := list(self._windows()):
            interrupts.check()
            if self.done and self._out_of_time(windows):
                break
            self._round(windows)
            if self.done == look:
                self._look()
                look = math.ceil(look * LOOKS)
            if self.phase == "choose":
                self._drop_hopeless()
            self._renew()
        self._look(
            last=True
        )  # the end of the time is no choice of ours: what is narrow enough by then counts as reached
        self.ledger.add("rounds", self.now() - self.start)

    def short(self, lane: Lane) -> bool:
        """Whether an arm ended before it had the rounds, or reached the target, that were wanted."""
        return any(
            lane.wants(metric, self.most) and self.timed(metric) for metric in lane.task.metrics
        ) or (
            self.target is not None
            and not lane.hopeless
            and any(
                metric.name not in lane.reached | lane.dropped
                for metric in lane.task.metrics
                if self.timed(metric)
            )
        )

    @staticmethod
    def timed(metric: Metric) -> bool:
        """Whether a metric takes part in all rounds."""
        return metric.rounds is None

    def _windows(self) -> Iterator[tuple[Lane, Metric]]:
        """Every open window: those of arms that were asked for, and of the others as long as somebody needs them."""
        asked = [
            (lane, metric)
            for lane in self.lanes
            if lane.role == "asked"
            for metric in self._open(lane)
        ]
        yield from asked
        if not asked:
            return
        for lane in self.lanes:
            for metric in lane.task.metrics if lane.alive else ():
                if not any(
                    one is lane and other is metric for one, other in asked
                ) and self._needed(lane, metric, asked):
                    yield lane, metric

    def _open(self, lane: Lane) -> list[Metric]:
        return (
            [metric for metric in lane.task.metrics if lane.wants(metric, self.most)]
            if lane.alive
            else []
        )

    def _needed(self, lane: Lane, metric: Metric, asked: list[tuple[Lane, Metric]]) -> bool:
        """Whether a lane that is done, or was not asked for, has to go on as the other half of somebody's pairs."""
        if metric.name in lane.dropped:
            return False
        if (
            lane.role == "sentinel"
            and self.done % SENTINEL_EVERY
            and lane.rounds_had(metric.name) >= ROUNDS_FOR_INTERVAL
        ):
            return False
        if not lane.contestant:
            return metric.rounds is None or lane.rounds_had(metric.name) < metric.rounds
        return self.timed(metric) and any(
            one is metric and lane is self._partner(other) for other, one in asked
        )

    def _partner(self, lane: Lane) -> Lane | None:
        """The reference arm that a lane is compared with."""
        return next(
            (
                one
                for one in self.lanes
                if one.arm.model == self.reference and one.arm.comparable_with(lane.arm)
            ),
            None,
        )

    def _out_of_time(self, windows: list[tuple[Lane, Metric]]) -> bool:
        """Whether one more round would overrun the budget: by what its windows took last, or by all rounds so far.

        The smaller counts: once hopeless policies have left, rounds are far shorter than they were.
        """
        if self.time_budget is None:
            return False
        elapsed = self.now() - self.start
        usual = elapsed / self.done
        last = [self.took.get((id(lane), metric.name)) for lane, metric in windows]
        known = sum(seconds or 0.0 for seconds in last) if None not in last else usual
        return elapsed + min(usual, OVERHEAD * known) > self.time_budget

    def _seconds_left(self) -> float | None:
        if not self.done:
            return self.time_budget
        elapsed = self.now() - self.start
        by_rounds = elapsed / self.done * (self.most - self.done)
        return by_rounds if self.time_budget is None else min(by_rounds, self.time_budget - elapsed)

    def _rounds_after(self, seconds: float) -> float:
        """How many rounds are left once `seconds` have gone into something else."""
        left = float(self.most - self.done)
        if self.time_budget is None:
            return left
        elapsed = self.now() - self.start
        return min(
            left,
            (self.time_budget - elapsed - seconds)
            / max((elapsed - self.renewed_s) / self.done, 1e-3),
        )

    def _round(self, windows: list[tuple[Lane, Metric]]) -> None:
        """One round: each window once, in an order drawn for this round."""
        left = self._seconds_left()
        self.done += 1
        number = self.ledger.rounds + 1  # goes on from what this run has behind it
        windows = self._order(windows, random.Random(f"{self.seed}:{self.run}:{number}"))
        taken: dict[int, list[Sample]] = {}
        for lane, metric in windows:
            if not lane.alive:
                continue
            self.watch.step("round", lane.arm.label, self.done, self.most, left)
            try:
                samples = self._take(lane, metric)
            except Failure as failure:
                self._lost(lane, metric, failure)
                continue
            taken.setdefault(id(lane), []).extend(samples)
            lane.note((self.run, number), samples[-1])
            self.watch.figure(lane.arm, samples[-1])
        for lane in self.lanes:
            if lane.alive and id(lane) in taken:
                self.age[id(lane)] += 1
                setup = lane.setup if lane.process > 1 else {}
                lane.setup = {}
                lane.write(
                    RoundLine(
                        run=self.run,
                        round=number,
                        phase=self.phase,
                        worker=lane.process,
                        setup=setup,
                        samples=taken[id(lane)],
                    )
                )
        self.ledger.rounds += 1

    def _lost(self, lane: Lane, metric: Metric, failure: Failure) -> None:
        """A window that failed: what a machine cannot read or run takes one metric, anything else the arm.

        The others go on in a new process: a capture that broke off may have left a device in a state of its own.
        """
        if self.drop is None or failure.status != "unsupported" or lane.kept == [metric.name]:
            self.fail(lane, failure)
            return
        lane.dropped.add(metric.name)
        self.drop(lane, metric.name, failure)
        lane.close()
        self.open_lane(lane)

    @staticmethod
    def _order(
        windows: list[tuple[Lane, Metric]], draw: random.Random
    ) -> list[tuple[Lane, Metric]]:
        """Contestants in a random order, next to each other in time; what came along before or after all of them."""
        contestants = [window for window in windows if window[0].contestant]
        others = [window for window in windows if not window[0].contestant]
        draw.shuffle(contestants)
        draw.shuffle(others)
        return [*contestants, *others] if draw.random() < 0.5 else [*others, *contestants]

    def _take(self, lane: Lane, metric: Metric) -> list[Sample]:
        """One window, and its repetitions where it was disturbed; the last one counts."""
        found = [self._window(lane, metric)]
        while (
            found[-1].disturbed
            and len(found) <= REPEATS
            and self.ledger.repeated < REPEATING * self.ledger.windows
            and sum(self.recent) <= RESTLESS * RECENT
        ):
            self.ledger.repeated += 1
            found.append(self._window(lane, metric))
        return found

    def _window(self, lane: Lane, metric: Metric) -> Sample:
        assert lane.worker is not None
        pid = lane.worker.pid
        self.state.begin(pid)
        samples = lane.worker.take(
            Window(metric.name, self._seconds(lane, metric)), lambda text: None, self.state.glance
        )
        state, disturbed = self.state.end(pid)
        self.ledger.windows += 1
        self.ledger.disturbed += disturbed is not None
        self.recent.append(disturbed is not None)
        self.ledger.add("windows", samples.seconds)
        self.ledger.add("waking", samples.wake_s)
        self.took[id(lane), metric.name] = samples.seconds + samples.wake_s
        return sample_of(metric, samples, state=state, disturbed=disturbed)

    def _seconds(self, lane: Lane, metric: Metric) -> float:
        """How long a window lasts."""
        usual = window_of(lane.task, metric)
        return (
            usual
            if metric.window is not None or lane.role == "probe"
            else max(usual, self.least_window)
        )

    def _drop_hopeless(self) -> None:
        """End the choosing for policies that another one of the same model beats by far, in all rounds and metrics.

        Handwritten ones are not chosen from: they neither leave nor make others leave.
        """
        lanes = [
            lane
            for lane in self.lanes
            if not (isinstance(lane.arm, SpeedArm) and handwritten(lane.arm.policy))
        ]
        for lane in lanes:
            rivals = [
                one
                for one in lanes
                if one is not lane and one.contestant and one.arm.competes_with(lane.arm)
            ]
            if (
                lane.alive
                and lane.contestant
                and not lane.hopeless
                and any(self._far_behind(lane, one) for one in rivals)
            ):
                lane.hopeless = True

    def _far_behind(self, lane: Lane, other: Lane) -> bool:
        """Whether `other` was far better in every one of at least two common rounds of every metric."""
        metrics = [metric for metric in lane.task.metrics if self.timed(metric)]
        for metric in metrics:
            mine, theirs = lane.all_values(metric.name), other.all_values(metric.name)
            sign = 1 if metric.better == "higher" else -1
            common = [sign * math.log(theirs[at] / mine[at]) for at in mine if at in theirs]
            if len(common) < HOPELESS_AFTER or min(common) < math.log(HOPELESS):
                return False
        return bool(metrics)

    def _look(self, last: bool = False) -> None:
        """Close what is known well enough, at two looks. Only here: stopping whenever a number looks good would bias it.

        The first narrow interval is often one whose spread came out small by luck; the rounds up to the next look are fresh.
        """
        if self.target is None:
            return
        for lane in self.lanes:
            for metric in lane.task.metrics if lane.alive and lane.role == "asked" else ():
                if not self.timed(metric) or metric.name in lane.reached:
                    continue
                found = self.precision(lane, metric)
                if (
                    found is None
                    or found.relative is None
                    or found.relative > self.target
                    or (found.processes or 0) < self._least(lane)
                ):
                    continue
                (lane.reached if last or metric.name in lane.narrow else lane.narrow).add(
                    metric.name
                )

    def precision(self, lane: Lane, metric: Metric) -> Estimate | None:
        """What the target is held against: the ratio to the reference; for an arm without one its own median.

        The reference itself is as well known as the ratios to it: it ends with the last of them.
        """
        partner = self._partner(lane)
        if partner is not None and partner is not lane:
            return paired_ratio(lane.all_values(metric.name), partner.all_values(metric.name))
        compared = [
            one
            for one in self.lanes
            if one is not lane and one.role == "asked" and self._partner(one) is lane
        ]
        ratios = [
            ratio
            for one in compared
            if metric in one.task.metrics and (ratio := self.precision(one, metric))
        ]
        if ratios:
            return max(
                ratios,
                key=lambda ratio: ratio.relative if ratio.relative is not None else float("inf"),
            )
        values = lane.all_values(metric.name)
        return level(values) if values else None

    def _turns(self) -> Iterator[tuple[int, float]]:
        """By lane the share of a life after which its first process goes.

        A reference has its whole life and the others parts of it (a half, a quarter, three quarters ...): what is compared is
        renewed by turns, so that each process meets several of the other side's and their spread is better known.
        """
        number = 0
        for lane in self.lanes:
            whole = self._partner(lane) is lane or (
                lane.role == "sentinel" and lane.arm.model == SENTINEL[0]
            )
            number += not whole
            yield id(lane), 1.0 if whole else _reversed(number)

    def _renew(self) -> None:
        """New processes for the arms whose turn it is."""
        windows = {id(lane) for lane, _ in self._windows()}
        for lane in self.lanes:
            if lane.alive and lane.role != "probe" and id(lane) in windows and self._is_due(lane):
                before = self.now()
                lane.close()
                self.open_lane(lane)
                self.renewals[id(lane)] += 1
                self.age[id(lane)] = 0
                self.renewed_s += self.now() - before
                self.ledger.add("renewing", self.now() - before)

    def _is_due(self, lane: Lane) -> bool:
        """Whether an arm's process has had its rounds, and another one can be paid and still has rounds to give."""
        if self._expected() < FIRST_LOOK:
            return False  # there will be no interval anyhow
        life = self._life(lane)
        age = life if self.renewals[id(lane)] else max(1, round(life * self.turns[id(lane)]))
        paid = (
            self.time_budget is None
            or self.renewed_s + lane.renewal_s <= RENEWING * self.time_budget
        )
        return paid and self.age[id(lane)] >= age and self._rounds_after(lane.renewal_s) >= 1

    def _life(self, lane: Lane) -> int:
        """Rounds that a process of an arm is for."""
        usual = max(
            SHORTEST,
            math.ceil(LIFE * math.sqrt(lane.renewal_s / max(self._seconds_of(lane), 1e-3))),
        )
        rounds = self._expected()
        if lane.role == "sentinel":
            rounds = max(min(rounds, ROUNDS_FOR_INTERVAL), rounds / SENTINEL_EVERY)
        return max(1, min(usual, math.ceil(rounds / self._least(lane))))

    @staticmethod
    def _least(lane: Lane) -> int:
        """Processes that an arm has to have."""
        return PROCESSES_IF_DEAR if lane.renewal_s > DEAR else PROCESSES

    def _seconds_of(self, lane: Lane) -> float:
        """What a round of an arm took last."""
        return sum(
            self.took.get((id(lane), metric.name), 0.0)
            for metric in lane.task.metrics
            if self.timed(metric)
        )

    def _expected(self) -> float:
        """How many rounds there will be, once the processes that every arm has to have are paid."""
        if self.time_budget is None:
            return float(self.most)
        lanes = [
            lane for lane in self.lanes if lane.alive and lane.role != "probe" and not lane.hopeless
        ]
        processes = min(
            sum((self._least(lane) - 1) * lane.renewal_s for lane in lanes),
            RENEWING * self.time_budget,
        )
        each = OVERHEAD * sum(
            self._seconds_of(lane) / (SENTINEL_EVERY if lane.role == "sentinel" else 1)
            for lane in self.lanes
        )
        return max(
            float(self.done),
            min(float(self.most), (self.time_budget - processes) / max(each, 1e-3)),
        )


def _reversed(number: int) -> float:
    """A half, a quarter, three quarters, an eighth ...: the binary digits of a number behind the point, in reverse."""
    share, part = 0.0, 0.5
    while number:
        share, part, number = share + part * (number & 1), part / 2, number >> 1
    return share


def sample_of(metric: Metric, samples: Samples, **more: object) -> Sample:
    """What a worker answered, as a line of the record; Failure where it is no measurement of that metric."""
    try:
        return Sample(
            metric=metric.name,
            unit=metric.unit,
            better=metric.better,
            values=samples.values,
            detail=samples.detail,
            **more,
        )  # type: ignore[arg-type]
    except ValueError as error:
        raise Failure("failed", f"{metric.name} gave no measurement: {one_line(error)}") from None
