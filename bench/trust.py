"""What a run says of its own measuring: the sentinel pair, which has to be 1, and the canary, which has to stay the same."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from bench.paired import paired_ratio
from bench.record import InProcess
from bench.reference import SENTINEL
from bench.stats import Estimate
from bench.summary import Row, Summary

TIMED = ("latency", "throughput")


def rounds_behind(rows: Iterable[Row]) -> list[int]:
    """How many rounds each of their speeds rests on; nothing where nothing was timed."""
    return [len(values) for values in _timed(rows)]


def processes_behind(rows: Iterable[Row]) -> list[int]:
    """In how many processes each of their speeds was taken."""
    return [len({value.process for value in values.values()}) for values in _timed(rows)]


def without_interval(rows: Iterable[Row]) -> list[str]:
    """Those of which a speed has no interval: it was taken in one process, or in too few rounds."""
    return [row.name for row in rows if any(row.values[quantity].low is None for quantity in row.fair if quantity.metric in TIMED)]


def _timed(rows: Iterable[Row]) -> list[dict[tuple[str, int], InProcess]]:
    return [values for row in rows for quantity, values in row.fair.items() if quantity.metric in TIMED]


def sentinel(summary: Summary) -> Estimate | None:
    """The ratio of the sentinel pair, of the kind of window that has the most rounds."""
    left, right = ([row for row in summary.sentinels if row.model == name] for name in reversed(SENTINEL))
    found = [
        (len(one.fair[quantity].keys() & other.fair[quantity].keys()), quantity.metric, one.fair[quantity], other.fair[quantity])
        for one in left
        for other in right
        if (one.policy, one.image_size, one.device) == (other.policy, other.image_size, other.device)
        for quantity in one.fair.keys() & other.fair.keys()
        if quantity.metric in TIMED
    ]
    # Throughput before latency where they have as many rounds.
    most = max(found, key=lambda one: one[:2], default=None)
    return paired_ratio(*most[2:]) if most else None


def canary_drift(summary: Summary) -> float | None:
    """How far the canary's rounds spread: from the 5th to the 95th percentile, as a share of the median."""
    values = sorted(value for probe in summary.probes for value in probe.rounds.get("canary", {}).values())
    if len(values) < 6:
        return None
    return (values[int(0.95 * (len(values) - 1))] - values[int(0.05 * (len(values) - 1))]) / statistics.median(values)
