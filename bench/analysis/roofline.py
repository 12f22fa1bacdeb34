"""Every model against the most that this machine did in the same runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.rows import Probe, Row, Summary, by_speed
from bench.record.precisions import BYTES, precision_in_name
from bench.stats.intervals import Estimate

BEYOND = 19
"""So many times the distance of the two fastest rounds the true end of a distribution lies above the fastest, at most, in 95
of 100 cases (Robson and Whitlock 1964): (1 - 0.05) / 0.05."""


@dataclass(frozen=True)
class Ceiling:
    """The most that was seen: `value` per second, at least that and, at 95 %, at most `high`; by which shape, if several."""

    most: Estimate
    shape: str

    @property
    def value(self) -> float:
        """Per second."""
        return self.most.value


@dataclass(frozen=True)
class Place:
    """A row under the roofline, at its fastest batch: multiply-adds a second, the shares of the ceilings, what bounds it."""

    row: Row
    precision: str
    batch_size: int
    rate: float
    mfu: float
    intensity: float
    bound: str
    share: float

    @property
    def fault(self) -> str | None:
        """The ceiling that cannot be one, since this row did more."""
        if self.mfu > 1:
            return "arithmetic"
        return self.bound if self.share > 1 else None


def end_of(values: Sequence[float]) -> Estimate:
    """The largest value, below which the end of their distribution does not lie, and above which it does not lie at 95 %.

    Holds where values come close to the end about evenly; with one value there is no interval.
    """
    *_, last = found = sorted(values)
    if len(found) < 2:
        return Estimate(last)
    return Estimate(last, last, last + BEYOND * (last - found[-2]), len(found))


def ceiling(probe: Probe, metric: str) -> Ceiling | None:
    """The maximum over rounds and shapes."""
    rounds = probe.rounds.get(metric)
    if not rounds:
        return None
    fastest = max(rounds, key=lambda at: rounds[at])
    return Ceiling(end_of(list(rounds.values())), probe.shapes.get(metric, {}).get(fastest, ""))


def places(summary: Summary) -> list[Place]:
    """Every row whose counts, speed, ceilings and bytes are known, the largest images first."""
    found = []
    for row in sorted(summary.rows, key=lambda row: (-row.image_size, row.policy, by_speed(row))):
        precision = row.precision or precision_in_name(row.policy)
        probe = summary.probe(precision)
        if probe is not None and precision in BYTES and (place := _place(row, precision, probe)):
            found.append(place)
    return found


def _place(row: Row, precision: str, probe: Probe) -> Place | None:
    """Where a row stands at its fastest batch; None where a count, a speed or a ceiling is missing."""
    speeds = row.by_batch("throughput")
    counts = [row.value(name) for name in ("params", "macs", "activations")]
    tops = [ceiling(probe, name) for name in ("matmul_ceiling", "copy_ceiling")]
    if not speeds or any(top is None for top in tops) or any(count is None for count in counts):
        return None
    params, macs, activations = (count.value for count in counts if count)
    matmul, copy = (top.value for top in tops if top)
    batch = max(speeds, key=lambda size: speeds[size])
    size = BYTES[precision] * (params / batch + 2 * activations)
    seconds = {"arithmetic": macs / matmul, "memory": size / copy}
    bound = max(seconds, key=lambda name: seconds[name])
    rate = speeds[batch] * macs
    return Place(
        row,
        precision,
        batch,
        rate,
        rate / matmul,
        macs / size,
        bound,
        speeds[batch] * seconds[bound],
    )
