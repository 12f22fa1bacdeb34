"""The variance that another session of measuring adds to a ratio of speeds, from all A/A checks.

Every run times one network under two names. The logarithm of their ratio is 0, plus what the
session did to one name and not to the other, plus its own error. So the mean of its squares over
all runs estimates the variance that a session adds to the logarithm of any ratio. Few runs estimate
it badly (two runs: two degrees of freedom), which makes intervals wide, and honestly so. Its own
error is not subtracted, and the variance is never below that error: the square of one number is
often near 0 by luck, and with the error subtracted, 13 to 19 of 100 comparisons found a change
where there was none.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.analysis.run_quality import TIMED
from bench.record.arms import At, SpeedArm
from bench.record.store import Record
from bench.record.values import MEASURED, InProcess, fair_per_round
from bench.stats.intervals import Effect, satterthwaite
from bench.stats.paired import effect_of
from bench.stats.reference import SENTINEL


@dataclass(frozen=True)
class Sessions:
    """`variance` that one session adds to the logarithm of a ratio, estimated from `runs` runs."""

    variance: float
    runs: int

    @property
    def spread(self) -> float:
        """The standard deviation, as a share."""
        return math.sqrt(self.variance)

    def added(self, before: Effect, after: Effect) -> Effect:
        """Return the change between two effects of different sessions.

        Degrees of freedom after Satterthwaite (1946).
        """
        session = self.variance * (1 / before.runs + 1 / after.runs)
        variance, freedom = satterthwaite(
            [
                (before.error**2, before.freedom),
                (after.error**2, after.freedom),
                (session, float(self.runs)),
            ]
        )
        fewest = None
        if before.processes is not None and after.processes is not None:
            fewest = min(before.processes, after.processes)
        change = after.value - before.value
        return Effect(change, math.sqrt(variance), freedom, before.n + after.n, fewest)


def pairs_of(records: Sequence[Record]) -> list[Effect]:
    """Return the logarithm of the A/A ratio of every run.

    Of several pairs in a run, that with the most rounds counts.
    """
    first, second = SENTINEL
    right = list(_speeds(records, second))
    most: dict[str, Effect] = {}
    for one, arm in _speeds(records, first):
        for other, other_arm in right:
            if _how(arm) != _how(other_arm):
                continue
            for run, effect in _by_run(one, other):
                if run not in most or effect.n > most[run].n:
                    most[run] = effect
    return list(most.values())


def _speeds(records: Sequence[Record], model: str) -> Iterator[tuple[Record, SpeedArm]]:
    """Yield the records of one model's inference speeds, with their arms."""
    for record in records:
        arm = record.arm
        if isinstance(arm, SpeedArm) and arm.mode == "inference" and arm.model == model:
            yield record, arm


def _how(arm: SpeedArm) -> tuple[str, int, int, str]:
    """Return what the two arms of an A/A check must share."""
    return arm.policy, arm.batch_size, arm.image_size, arm.device


def _by_run(left: Record, right: Record) -> Iterator[tuple[str, Effect]]:
    """Yield the ratio of `right` to `left` in every run, by metric."""
    for metric in TIMED:
        one = fair_per_round(left, metric, MEASURED)
        other = fair_per_round(right, metric, MEASURED)
        for run in {run for run, _ in one.keys() & other.keys()}:
            effect = effect_of([(1.0, _of_run(other, run)), (-1.0, _of_run(one, run))])
            if effect:
                yield run, effect


def _of_run(rounds: dict[At, InProcess], run: str) -> dict[At, InProcess]:
    """Return the rounds of one run."""
    return {at: value for at, value in rounds.items() if at[0] == run}


def sessions(left: Sequence[Effect], right: Sequence[Effect]) -> Sessions | None:
    """Return the variance by the pairs of both sides; None if a side has none."""
    if not left or not right:
        return None
    pairs = [*left, *right]
    between = statistics.fmean(pair.value**2 for pair in pairs)
    own = statistics.fmean(pair.error**2 for pair in pairs)
    return Sessions(max(between, own), len(pairs))
