"""What a run says of its own measuring: the sentinel pair, which has to be 1, and the canary, which has to stay the same."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bench.analysis.rows import Row, Summary
from bench.record.values import InProcess
from bench.stats.intervals import Estimate
from bench.stats.paired import Rounds, paired_ratio
from bench.stats.reference import SENTINEL

TIMED = ("latency", "throughput")
CANARY_OFF = 0.10
"""A round whose canary is further from its median than this is flagged: undisturbed ones stay within a few per cent."""


def rounds_behind(rows: Iterable[Row]) -> list[int]:
    """How many rounds each of their speeds rests on; nothing where nothing was timed."""
    return [len(values) for values in _timed(rows)]


def processes_behind(rows: Iterable[Row]) -> list[int]:
    """In how many processes each of their speeds was taken."""
    return [len({value.process for value in values.values()}) for values in _timed(rows)]


def without_interval(rows: Iterable[Row]) -> list[str]:
    """Those of which a speed has no interval: it was taken in one process, or in too few rounds."""
    return [
        row.name
        for row in rows
        if any(
            row.values[quantity].low is None for quantity in row.fair if quantity.metric in TIMED
        )
    ]


def _timed(rows: Iterable[Row]) -> list[dict[tuple[str, int], InProcess]]:
    return [
        values for row in rows for quantity, values in row.fair.items() if quantity.metric in TIMED
    ]


def sentinel(summary: Summary, size: int | None = None) -> Estimate | None:
    """The ratio of the sentinel pair (of one image size, if that is said), of the kind of window that has the most rounds."""
    pair = sentinel_rounds(summary.sentinels, size)
    return paired_ratio(*pair) if pair else None


def sentinel_rounds(
    rows: Iterable[Row], size: int | None = None
) -> tuple[Rounds[Any], Rounds[Any]] | None:
    """The rounds of both, the second name's first."""
    rows = [row for row in rows if size in (None, row.image_size)]
    left, right = ([row for row in rows if row.model == name] for name in reversed(SENTINEL))
    found = [
        (
            len(one.fair[quantity].keys() & other.fair[quantity].keys()),
            quantity.metric,
            one.fair[quantity],
            other.fair[quantity],
        )
        for one in left
        for other in right
        if (one.policy, one.image_size, one.device)
        == (other.policy, other.image_size, other.device)
        for quantity in one.fair.keys() & other.fair.keys()
        if quantity.metric in TIMED
    ]
    # Throughput before latency where they have as many rounds.
    most = max(found, key=lambda one: one[:2], default=None)
    return most[2:] if most and most[0] else None


@dataclass(frozen=True)
class Canary:
    """How steady the canary was: from its 5th to its 95th percentile as a share of the median, and in how many rounds it was off."""

    spread: float
    rounds_off: int
    rounds: int

    @property
    def off(self) -> float:
        """The share of rounds that were."""
        return self.rounds_off / self.rounds


def canary(summary: Summary) -> Canary | None:
    """Of all probes' canaries, each held against its own median (another precision is another workload); None below six rounds."""
    values: list[float] = []
    for probe in summary.probes:
        found = list(probe.rounds.get("canary", {}).values())
        values += [value / statistics.median(found) for value in found]
    if len(values) < 6:
        return None
    values.sort()
    spread = values[int(0.95 * (len(values) - 1))] - values[int(0.05 * (len(values) - 1))]
    return Canary(spread, sum(abs(value - 1) > CANARY_OFF for value in values), len(values))


def canary_drift(summary: Summary) -> float | None:
    """The spread alone."""
    found = canary(summary)
    return found.spread if found else None
