"""What a run's own checks measured: the ratio of the A/A check and the spread of the drift check.

Records call the two `sentinel` and `canary`.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from operator import attrgetter
from typing import Any

from bench.analysis.groups import grouped
from bench.analysis.rows import Row, Summary
from bench.record.values import InProcess
from bench.stats.intervals import Estimate
from bench.stats.paired import Rounds, paired_ratio
from bench.stats.reference import SENTINEL

TIMED = ("latency", "throughput")
CANARY_OFF = 0.10
"""A round is flagged if its drift check is further from the median than this; without other
programs it stays within a few per cent."""
FEWEST_ROUNDS = 6
"""Fewest rounds for percentiles of the drift check."""
TOGETHER = 5
"""Consecutive rounds whose median drift check counts as one state of the machine. On a shared host,
single windows took 1.6 times as long, one in eight, without any other program in sight and with no
round before or after them alike: that is noise, which interleaved rounds average and the A/A check
shows. What lasts for most of five rounds is a state, which they do not average."""


def rounds_behind(rows: Iterable[Row]) -> list[int]:
    """Return the number of rounds behind each speed; empty without speeds."""
    return list(map(len, _timed(rows)))


def processes_behind(rows: Iterable[Row]) -> list[int]:
    """Return the number of processes that measured each speed."""
    return list(map(_processes, _timed(rows)))


def _processes(rounds: dict[tuple[str, int], InProcess]) -> int:
    return len({value.process for value in rounds.values()})


def without_interval(rows: Iterable[Row]) -> list[str]:
    """Return the names of rows with a speed from one process or too few rounds."""
    return [row.name for row in rows if _lacks_interval(row)]


def _lacks_interval(row: Row) -> bool:
    for quantity in row.fair:
        if quantity.metric in TIMED and row.values[quantity].low is None:
            return True
    return False


def _timed(rows: Iterable[Row]) -> Iterator[dict[tuple[str, int], InProcess]]:
    """Yield the rounds of every speed."""
    for row in rows:
        for quantity, values in row.fair.items():
            if quantity.metric in TIMED:
                yield values


def sentinel(summary: Summary, size: int | None = None) -> Estimate | None:
    """Return the ratio of the A/A check, whose true value is 1; None if it was not measured.

    `size` restricts it to one image size. Of several windows, that with the most rounds counts.
    """
    pair = sentinel_rounds(summary.sentinels, size)
    return paired_ratio(*pair) if pair else None


def sentinel_rounds(
    rows: Iterable[Row], size: int | None = None
) -> tuple[Rounds[Any], Rounds[Any]] | None:
    """Return the rounds of the A/A check's two names, the second name's first."""
    of_size = [row for row in rows if size in (None, row.image_size)]
    models = grouped(of_size, attrgetter("model"))
    first, second = SENTINEL
    most, best = (0, ""), None
    for one, other in product(models.get(second, []), models.get(first, [])):
        if _how(one) != _how(other):
            continue
        for quantity in one.fair.keys() & other.fair.keys():
            if quantity.metric not in TIMED:
                continue
            common = len(one.fair[quantity].keys() & other.fair[quantity].keys())
            # With as many rounds, throughput before latency.
            if common and (common, quantity.metric) > most:
                most = (common, quantity.metric)
                best = (one.fair[quantity], other.fair[quantity])
    return best


def _how(row: Row) -> tuple[str, int, str]:
    """Return what the two rows of an A/A check must share."""
    return row.policy, row.image_size, row.device


@dataclass(frozen=True)
class Canary:
    """The steadiness of the drift check.

    `spread` reaches from the 5th to the 95th percentile of its medians over five consecutive
    rounds (of fewer than 20 from end to end), as a share of the median of its run; `rounds_off`
    counts the single rounds that are more than 10 % off that median. `between` is how much faster
    the fastest run was than the slowest, by their medians: 0 for one run.
    """

    spread: float
    rounds_off: int
    rounds: int
    between: float = 0.0

    @property
    def off(self) -> float:
        """The share of rounds that are off."""
        return self.rounds_off / self.rounds


def canary(summary: Summary) -> Canary | None:
    """Return the steadiness of all drift checks together; None from fewer than six rounds.

    Each is divided by the median of its run: every precision has its own workload, and a machine
    may be faster on another day, which no ratio of a table spans.
    """
    values: list[float] = []
    states: list[float] = []
    between = 0.0
    for probe in summary.probes:
        runs: dict[str, list[float]] = {}
        for (run, _), value in sorted(probe.rounds.get("canary", {}).items()):
            runs.setdefault(run, []).append(value)
        medians: list[float] = []
        for found in runs.values():
            medians.append(statistics.median(found))
            relative = [value / medians[-1] for value in found]
            values += relative
            states += _states(relative)
        if medians:
            between = max(between, max(medians) / min(medians) - 1)
    if len(values) < FEWEST_ROUNDS:
        return None
    off = sum(abs(value - 1) > CANARY_OFF for value in values)
    return Canary(_spread(states), off, len(values), between)


def _spread(states: list[float]) -> float:
    """Return the distance from the 5th to the 95th percentile, of few values their range."""
    ordered = sorted(states)
    left = int(0.05 * len(ordered))
    return ordered[-1 - left] - ordered[left]


def _states(rounds: list[float]) -> list[float]:
    """Return the medians over consecutive rounds; the rounds themselves if they are too few."""
    if len(rounds) < TOGETHER:
        return rounds
    spans = range(len(rounds) - TOGETHER + 1)
    return [statistics.median(rounds[first : first + TOGETHER]) for first in spans]


def canary_drift(summary: Summary) -> float | None:
    """Return the spread of the drift check; None from fewer than six rounds."""
    found = canary(summary)
    return found.spread if found else None
