"""What another session of measuring changes in a ratio of two speeds, as the A/A pairs of all runs show it.

Every run times one network under two names. The logarithm of their ratio is 0, plus what the session did to the one and
not to the other, plus its own error; so the mean of its squares over all runs is the variance that a session adds to the
logarithm of any ratio. From so few runs that is known badly (two runs: two degrees of freedom), which makes intervals wide, and
honestly so. Its own error is not taken off, and the variance is never below it: the square of one number is near 0 by luck
often enough, and with that error taken off 13 to 19 of 100 comparisons found a change where there was none.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.run_quality import TIMED
from bench.record.arms import SpeedArm
from bench.record.store import Record
from bench.record.values import MEASURED, fair_per_round
from bench.stats.intervals import Effect
from bench.stats.paired import effect_of
from bench.stats.reference import SENTINEL


@dataclass(frozen=True)
class Sessions:
    """`variance` that one session adds to the logarithm of a ratio, from so many `runs`."""

    variance: float
    runs: int

    @property
    def spread(self) -> float:
        """Its standard deviation, as a share."""
        return math.sqrt(self.variance)

    def added(self, before: Effect, after: Effect) -> Effect:
        """The change between two effects of different sessions. Degrees of freedom by Satterthwaite (1946)."""
        session = self.variance * (1 / before.runs + 1 / after.runs)
        parts = [
            (before.error**2, before.freedom),
            (after.error**2, after.freedom),
            (session, float(self.runs)),
        ]
        variance = sum(part for part, _ in parts)
        freedom = (
            variance**2 / sum(part**2 / free for part, free in parts)
            if variance
            else sum(free for _, free in parts)
        )
        fewest = (
            None
            if before.processes is None or after.processes is None
            else min(before.processes, after.processes)
        )
        return Effect(
            after.value - before.value, math.sqrt(variance), freedom, before.n + after.n, fewest
        )


def pairs_of(records: Sequence[Record]) -> list[Effect]:
    """The logarithm of the A/A ratio, run by run: of several pairs in a run that with the most rounds."""
    found: dict[str, Effect] = {}
    speeds = [
        (record, record.arm)
        for record in records
        if isinstance(record.arm, SpeedArm) and record.arm.mode == "inference"
    ]
    for left, arm in speeds:
        for right, other in speeds:
            if (arm.model, other.model) != SENTINEL or _how(arm) != _how(other):
                continue
            for run, effect in _by_run(left, right):
                if run not in found or effect.n > found[run].n:
                    found[run] = effect
    return list(found.values())


def _how(arm: SpeedArm) -> tuple[str, int, int, str]:
    return arm.policy, arm.batch_size, arm.image_size, arm.device


def _by_run(left: Record, right: Record) -> list[tuple[str, Effect]]:
    found = []
    for metric in TIMED:
        one, other = (fair_per_round(record, metric, MEASURED) for record in (left, right))
        for run in {run for run, _ in one.keys() & other.keys()}:
            sides = [
                {at: value for at, value in side.items() if at[0] == run} for side in (one, other)
            ]
            if effect := effect_of([(1.0, sides[1]), (-1.0, sides[0])]):
                found.append((run, effect))
    return found


def sessions(left: Sequence[Effect], right: Sequence[Effect]) -> Sessions | None:
    """By the pairs of both sides; None where one has none."""
    if not left or not right:
        return None
    pairs = [*left, *right]
    found, own = (
        statistics.fmean(values)
        for values in ([one.value**2 for one in pairs], [one.error**2 for one in pairs])
    )
    return Sessions(max(found, own), len(pairs))
