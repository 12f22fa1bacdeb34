"""What this machine's records say of a candidate's speed and memory.

A candidate's execution is the policy that was chosen for it and measured again; if nothing was
chosen, the faster one of the policy under which all candidates were measured first and the one that
was measured longest.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis.rows import Row, Summary
from bench.pick.candidates import Candidate
from bench.record.arms import SpeedArm
from bench.record.store import Record
from bench.stats.intervals import Estimate


@dataclass(frozen=True, kw_only=True)
class Timed:
    """What was measured of a candidate under one policy.

    `rounds` has one value per round, by metric; `values` the estimates, `memory` peak bytes.
    """

    policy: str
    rounds: Mapping[str, Mapping[Any, float]]
    values: Mapping[str, Estimate]
    tried: tuple[str, ...] = ()
    """All policies under which the candidate has a latency."""

    @property
    def memory(self) -> float | None:
        """Peak bytes of a forward pass; None if it was not measured."""
        found = self.values.get("memory")
        return found.value if found else None


def timed_of(summary: Summary, candidate: Candidate, first: str) -> Timed | None:
    """Return what records say of a candidate; None if nothing was timed.

    `first` is the policy under which candidates are measured first.
    """
    rows = [row for row in summary.rows if _is_of(row, candidate) and not row.handwritten]
    timed = [row for row in rows if _metric(row, "latency")]
    chosen = [row for row in summary.best if _is_of(row, candidate) and not row.handwritten]
    row = next((one for one in chosen if _metric(one, "latency")), None) or _faster(timed, first)
    if row is None:
        return None
    return _timed(row, tuple(one.policy for one in timed))


def _faster(timed: Sequence[Row], first: str) -> Row | None:
    """Return the row to go by where no policy was chosen.

    Only two compete, and which two does not depend on how fast they were: the fastest of many would
    seem faster than it is.
    """
    competing = [row for row in timed if row.policy == first]
    longest = max(timed, key=lambda row: len(_metric(row, "latency")), default=None)
    if not competing or longest is None:
        return None
    return min(
        (*competing, longest), key=lambda row: statistics.median(_metric(row, "latency").values())
    )


def _is_of(row: Row, candidate: Candidate) -> bool:
    return row.shape == (candidate.name, candidate.image_size)


def _metric(row: Row, metric: str) -> Any:
    quantity = row.quantity(metric)
    return row.rounds.get(quantity) if quantity else None


def _timed(row: Row, tried: tuple[str, ...]) -> Timed:
    """Return a row's values. Throughput is corrected for what other programs took, as in ratios."""
    rounds: dict[str, Mapping[Any, float]] = {}
    values: dict[str, Estimate] = {}
    for metric in ("latency", "throughput", "memory"):
        quantity = row.quantity(metric)
        if quantity is not None and row.rounds.get(quantity):
            each = row.fair if metric == "throughput" else row.rounds
            rounds[metric], values[metric] = each[quantity], row.values[quantity]
    return Timed(policy=row.policy, rounds=rounds, values=values, tried=tried)


def trouble_of(summary: Summary, candidate: Candidate, first: str) -> str:
    """Return why a candidate has no speed under the first policy; empty if nothing failed."""
    for row in summary.rows:
        if _is_of(row, candidate) and row.policy == first and row.trouble:
            return next(iter(row.trouble.values()))
    return ""


def had(record: Record, candidate: Candidate, *, seconds: float, rounds: int) -> bool:
    """True if a record is of a candidate's speed, in a run with so much time, or so many rounds."""
    arm = record.arm
    if not isinstance(arm, SpeedArm) or arm.model != candidate.name:
        return False
    times = [end.time_budget or 0.0 for end in record.ends if end.short]
    return max(times, default=0.0) >= 0.999 * seconds or len(record.rounds) >= rounds
