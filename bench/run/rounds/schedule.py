"""Which windows a round has, and in which order they are taken."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from bench.forecast.round_rules import SENTINEL_EVERY
from bench.plugins import Metric
from bench.run.arm_run import ArmRun, in_every_round
from bench.run.rounds.pairing import Pairing
from bench.run.rounds.time_account import TimeAccount
from bench.stats.intervals import ROUNDS_FOR_INTERVAL

Slot = tuple[ArmRun, Metric]
"""A window that is still to be taken in every round: one metric of one arm."""


@dataclass
class Schedule:
    """The open windows of one series of rounds."""

    arm_runs: list[ArmRun]
    pairing: Pairing
    account: TimeAccount

    def windows(self) -> list[Slot]:
        """Return the windows of arms that were asked for, and those that they need next to them.

        Empty once nothing that was asked for is open.
        """
        asked: list[Slot] = []
        for arm_run in self.arm_runs:
            if arm_run.role == "asked" and arm_run.alive:
                asked += [(arm_run, metric) for metric in self._wanted(arm_run)]
        return [*asked, *self._along(asked)] if asked else []

    def _wanted(self, arm_run: ArmRun) -> list[Metric]:
        most = self.account.most
        return [metric for metric in arm_run.task.metrics if arm_run.wants(metric, most)]

    def _along(self, asked: list[Slot]) -> Iterator[Slot]:
        """Yield windows that are needed only because of the others."""
        for arm_run in self.arm_runs:
            for metric in arm_run.task.metrics if arm_run.alive else ():
                slot = (arm_run, metric)
                if slot not in asked and self._is_needed(slot, asked):
                    yield slot

    def _is_needed(self, slot: Slot, asked: list[Slot]) -> bool:
        """True if an arm that is done, or came along, has to go on: mostly as half of a pair."""
        arm_run, metric = slot
        if metric.name in arm_run.dropped or self._aa_pair_pauses(slot):
            return False
        if not arm_run.contestant:
            return metric.rounds is None or arm_run.rounds_had(metric.name) < metric.rounds
        partners = (self.pairing.partner(other) for other, wanted in asked if wanted is metric)
        return in_every_round(metric) and any(partner is arm_run for partner in partners)

    def _aa_pair_pauses(self, slot: Slot) -> bool:
        """True for rounds that the A/A pair skips, once it has an interval."""
        arm_run, metric = slot
        has_interval = arm_run.rounds_had(metric.name) >= ROUNDS_FOR_INTERVAL
        return (
            arm_run.role == "sentinel" and has_interval and self.account.done % SENTINEL_EVERY > 0
        )


def shuffled(windows: list[Slot], draw: random.Random) -> list[Slot]:
    """Return windows in a random order, those of contestants next to each other in time.

    The A/A pair and the probes come before or after all of them.
    """
    contestants = [slot for slot in windows if slot[0].contestant]
    others = [slot for slot in windows if not slot[0].contestant]
    draw.shuffle(contestants)
    draw.shuffle(others)
    return [*contestants, *others] if draw.random() < 0.5 else [*others, *contestants]
