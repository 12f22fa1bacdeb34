"""When an arm is known well enough, and no longer measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.forecast.round_rules import FIRST_LOOK
from bench.plugins import Metric
from bench.run.arm_run import ArmRun
from bench.run.rounds.pairing import Pairing

LOOKS = 1.4
"""Each look comes at this many times the rounds of the one before. Finer looks stop at lucky
intervals more often; doubling would spend up to half of the time on what was known already."""


@dataclass
class StopRule:
    """Looks at the intervals at preset rounds only (6, 9, 13, 19 and so on).

    Stopping whenever a number happens to look good would bias it. The first narrow interval is
    often one whose spread came out small by luck; a metric is done if its interval is narrow at two
    looks, with fresh rounds in between. `target` is the relative half-width that is aimed at; None
    if a number of rounds is.
    """

    arm_runs: list[ArmRun]
    pairing: Pairing
    target: float | None
    next_look: int = FIRST_LOOK

    def after_round(self, done: int) -> None:
        """Look, if one is due after `done` rounds."""
        if done == self.next_look:
            self._look(last=False)
            self.next_look = math.ceil(self.next_look * LOOKS)

    def after_last_round(self) -> None:
        """Look once more.

        One narrow interval suffices here: when the time ends was not chosen by looking.
        """
        self._look(last=True)

    def _look(self, *, last: bool) -> None:
        if self.target is None:
            return
        for arm_run in self.arm_runs:
            if arm_run.alive and arm_run.role == "asked":
                self._look_at(arm_run, self.target, last)

    def _look_at(self, arm_run: ArmRun, target: float, last: bool) -> None:
        for metric in arm_run.metrics_of_all_rounds:
            if metric.name not in arm_run.reached and self._is_narrow(arm_run, metric, target):
                enough = last or metric.name in arm_run.narrow
                (arm_run.reached if enough else arm_run.narrow).add(metric.name)

    def _is_narrow(self, arm_run: ArmRun, metric: Metric, target: float) -> bool:
        estimate = self.pairing.precision(arm_run, metric)
        if estimate is None or estimate.relative is None:
            return False
        enough_processes = (estimate.processes or 0) >= arm_run.processes_needed
        return estimate.relative <= target and enough_processes

    def short(self, arm_run: ArmRun, rounds: int) -> bool:
        """True if an arm has fewer than the `rounds` that were wanted, or missed the target."""
        if arm_run.out:
            return True
        metrics = arm_run.metrics_of_all_rounds
        if any(arm_run.wants(metric, rounds) for metric in metrics):
            return True
        if self.target is None or arm_run.hopeless:
            return False
        closed = arm_run.reached | arm_run.dropped
        return any(metric.name not in closed for metric in metrics)
