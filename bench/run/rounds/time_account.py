"""What rounds cost, and how many more the time budget pays for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bench.forecast.round_rules import SENTINEL_EVERY, renewing_limit
from bench.plugins import Metric
from bench.run.arm_run import ArmRun

OVERHEAD = 1.15
"""Seconds of a round per second of its windows, at most."""
LEAST_S = 1e-3
"""A round is never taken to cost less, so that nothing is divided by 0."""


@dataclass
class TimeAccount:
    """The time of one series of rounds. `most` is the number of rounds at which it ends anyway."""

    arm_runs: list[ArmRun]
    most: int
    budget: float | None
    """Seconds for all rounds; None if only their number counts."""
    now: Callable[[], float]
    start: float = 0.0
    done: int = 0
    """Rounds begun so far."""
    renewed_s: float = 0.0
    """Seconds spent on new processes."""
    took: dict[tuple[ArmRun, str], float] = field(default_factory=dict)
    """Seconds of the latest window, by arm and metric."""

    def begin(self) -> None:
        """Start the clock."""
        self.start = self.now()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.now() - self.start

    def is_spent(self, windows: list[tuple[ArmRun, Metric]]) -> bool:
        """True if one more round, of these windows, would overrun the budget.

        The cost of a round is taken from what its windows took last or from the mean of all rounds
        so far, whichever is less: once hopeless policies have left, rounds are far shorter. The
        first round is always paid for.
        """
        if self.budget is None or not self.done:
            return False
        elapsed = self.elapsed
        mean = elapsed / self.done
        latest = 0.0
        for arm_run, metric in windows:
            seconds = self.took.get((arm_run, metric.name))
            if seconds is None:
                return elapsed + mean > self.budget
            latest += seconds
        return elapsed + min(mean, OVERHEAD * latest) > self.budget

    def seconds_left(self) -> float | None:
        """Return the seconds until the end, for people; None before anything is known."""
        if not self.done:
            return self.budget
        elapsed = self.elapsed
        by_rounds = elapsed / self.done * (self.most - self.done)
        return by_rounds if self.budget is None else min(by_rounds, self.budget - elapsed)

    def rounds_after(self, seconds: float) -> float:
        """Return the number of rounds left once `seconds` have gone into something else."""
        left = float(self.most - self.done)
        if self.budget is None:
            return left
        elapsed = self.elapsed
        each = max((elapsed - self.renewed_s) / self.done, LEAST_S)
        return min(left, (self.budget - elapsed - seconds) / each)

    def pays_renewal(self, seconds: float) -> bool:
        """True if a new process, for `seconds`, fits the budget's share for new processes."""
        if self.budget is None:
            return True
        return self.renewed_s + seconds <= renewing_limit(self.budget, self._each_round())

    def round_s(self, arm_run: ArmRun) -> float:
        """Return the seconds that the latest round of an arm took."""
        seconds = 0.0
        for metric in arm_run.metrics_of_all_rounds:
            seconds += self.took.get((arm_run, metric.name), 0.0)
        return seconds

    def _each_round(self) -> float:
        """Return the seconds that a round takes, without new processes."""
        seconds = 0.0
        for arm_run in self.arm_runs:
            every = SENTINEL_EVERY if arm_run.role == "sentinel" else 1
            seconds += self.round_s(arm_run) / every
        return max(OVERHEAD * seconds, LEAST_S)

    def expected_rounds(self) -> float:
        """Return the number of rounds that the budget pays for, next to each arm's processes."""
        if self.budget is None:
            return float(self.most)
        renewals = 0.0
        for arm_run in self.arm_runs:
            if arm_run.alive and arm_run.role != "probe" and not arm_run.left_early:
                renewals += (arm_run.processes_needed - 1) * arm_run.renewal_s
        each_round = self._each_round()
        left = self.budget - min(renewals, renewing_limit(self.budget, each_round))
        affordable = left / each_round
        return max(float(self.done), min(float(self.most), affordable))
