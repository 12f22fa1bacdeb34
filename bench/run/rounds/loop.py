"""The loop of rounds.

Every round visits every open window once, in an order drawn for that round. Each job that goes with
it has a file of its own: which windows there are (`schedule`), taking and repeating them
(`windows`), new processes (`renewals`), the time budget (`time_account`), early stopping
(`stop_rule`), the early end of hopeless policies (`elimination`) and who is compared with whom
(`pairing`). Nothing here knows of files: lines go to each arm's `write`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.measure import interrupts
from bench.measure.disturbance import State
from bench.measure.messages import Failure
from bench.plugins import Metric
from bench.record.schema import Phase, RoundLine, Sample
from bench.run.arm_run import ArmRun
from bench.run.observer import Ledger, Watcher
from bench.run.rounds.elimination import Race, end_early, mark_hopeless
from bench.run.rounds.pairing import Pairing
from bench.run.rounds.renewals import Renewals
from bench.run.rounds.schedule import Schedule, Slot, shuffled
from bench.run.rounds.stop_rule import StopRule
from bench.run.rounds.time_account import TimeAccount
from bench.run.rounds.windows import Windows


@dataclass(kw_only=True)
class Rounds:
    """One series of rounds over arms that are all alive. `run` and `seed` decide the orders."""

    arm_runs: list[ArmRun]
    most: int
    """The number of rounds at which every arm ends."""
    run: str
    seed: int
    watch: Watcher
    open_arm: Callable[[ArmRun], bool]
    """Starts a new process for an arm; False if that failed."""
    fail: Callable[[ArmRun, Failure], None]
    """Ends an arm."""
    drop: Callable[[ArmRun, str, Failure], None] | None = None
    """Ends one metric of an arm whose others go on; None: the first failure ends the arm."""
    phase: Phase = "measure"
    time_budget: float | None = None
    """Seconds for all rounds."""
    target: float | None = None
    """Relative half-width of the intervals that is aimed at."""
    race: Race | None = None
    """By which arms leave early."""
    state: State = field(default_factory=State)
    ledger: Ledger = field(default_factory=Ledger)
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        arm_runs = self.arm_runs
        pairing = Pairing(arm_runs)
        self.account = TimeAccount(arm_runs, self.most, self.time_budget, self.now)
        self.windows = Windows(self.state, self.ledger, self.account)
        self.schedule = Schedule(arm_runs, pairing, self.account)
        self.stop_rule = StopRule(arm_runs, pairing, self.target)
        self.renewals = Renewals(arm_runs, pairing, self.account, self.ledger, self.open_arm)

    @property
    def done(self) -> int:
        """Rounds of this series so far."""
        return self.account.done

    def go(self) -> None:
        """Measure until no window is open or the time is over."""
        self.account.begin()
        self.windows.fit(self.arm_runs)
        while windows := self.schedule.windows():
            interrupts.check()
            if self.account.is_spent(windows):
                break
            self._round(windows)
            self.stop_rule.after_round(self.done)
            if self.phase == "choose":
                mark_hopeless(self.arm_runs)
            if self.race is not None:
                end_early(self.race, self.arm_runs)
            self.renewals.renew({arm_run for arm_run, _ in self.schedule.windows()})
        self.stop_rule.after_last_round()
        self.ledger.add("rounds", self.account.elapsed)

    def short(self, arm_run: ArmRun) -> bool:
        """True if an arm ended with fewer rounds than were wanted, or short of the target."""
        return self.stop_rule.short(arm_run, self.most)

    def _round(self, windows: list[Slot]) -> None:
        seconds_left = self.account.seconds_left()
        self.account.done += 1
        number = self.ledger.rounds + 1  # counted over all series of the run
        draw = random.Random(f"{self.seed}:{self.run}:{number}")
        taken: dict[ArmRun, list[Sample]] = {}
        for arm_run, metric in shuffled(windows, draw):
            if not arm_run.alive:
                continue
            self.watch.step("round", arm_run.arm.label, self.done, self.most, seconds_left)
            try:
                samples = self.windows.take(arm_run, metric)
            except Failure as failure:
                self._lose(arm_run, metric, failure)
                continue
            taken.setdefault(arm_run, []).extend(samples)
            arm_run.note((self.run, number), samples[-1])
            self.watch.figure(arm_run.arm, samples[-1])
        for arm_run in self.arm_runs:
            if arm_run.alive and arm_run in taken:
                self._write(arm_run, number, taken[arm_run])
        self.ledger.rounds += 1

    def _write(self, arm_run: ArmRun, number: int, samples: list[Sample]) -> None:
        """Write a round of an arm, with its process's set-up times in that one's first round."""
        self.renewals.count_round(arm_run)
        setup = arm_run.setup if arm_run.process > 1 else {}
        arm_run.setup = {}
        arm_run.write(
            RoundLine(
                run=self.run,
                round=number,
                phase=self.phase,
                worker=arm_run.process,
                setup=setup,
                samples=samples,
            )
        )

    def _lose(self, arm_run: ArmRun, metric: Metric, failure: Failure) -> None:
        """End what a failed window takes along.

        That is one metric if the machine does not support it, and the arm for any other reason.
        The other metrics go on in a new process: a capture that broke off may have left the device
        in a bad state.
        """
        if self.drop is None or failure.status != "unsupported" or arm_run.kept == [metric.name]:
            self.fail(arm_run, failure)
            return
        arm_run.dropped.add(metric.name)
        self.drop(arm_run, metric.name, failure)
        arm_run.close()
        self.open_arm(arm_run)
