"""Every model against the highest rates that this machine reached in the same runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.rows import Probe, Row, Summary, by_speed
from bench.record.precisions import BYTES, precision_in_name
from bench.stats.intervals import Estimate

BEYOND = 19
"""In 95 of 100 cases the true end of a distribution lies at most this many times the distance of
the two fastest rounds above the fastest (Robson and Whitlock 1964): (1 - 0.05) / 0.05."""


@dataclass(frozen=True)
class MeasuredCeiling:
    """The highest rate of a probe, per second, with its one-sided 95 % bound; and its shape."""

    most: Estimate
    shape: str

    @property
    def value(self) -> float:
        """The highest rate, per second."""
        return self.most.value


@dataclass(frozen=True)
class Place:
    """A row under the roofline, at its fastest batch size.

    `rate` is in multiply-adds per second, `mfu` its share of the arithmetic ceiling, `intensity` in
    multiply-adds per byte. `bound` is "arithmetic" or "memory", and `share` how much of that
    ceiling the row reached.
    """

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
        """The ceiling that is too low, since this row exceeded it; None if there is none."""
        if self.mfu > 1:
            return "arithmetic"
        return self.bound if self.share > 1 else None


def end_of(values: Sequence[float]) -> Estimate:
    """Return the largest value, with an interval from it to a bound on the distribution's end.

    The bound holds at 95 % if values come about evenly close to the end. One value has no interval.
    """
    *_, last = found = sorted(values)
    if len(found) < 2:
        return Estimate(last)
    return Estimate(last, last, last + BEYOND * (last - found[-2]), len(found))


def ceiling(probe: Probe, metric: str) -> MeasuredCeiling | None:
    """Return the maximum over rounds and shapes; None if it was not measured."""
    rounds = probe.rounds.get(metric)
    if not rounds:
        return None
    fastest = max(rounds, key=lambda at: rounds[at])
    shape = probe.shapes.get(metric, {}).get(fastest, "")
    return MeasuredCeiling(end_of(list(rounds.values())), shape)


def places(summary: Summary) -> list[Place]:
    """Return every row whose counts, speed and ceilings are known, the largest images first."""
    found = []
    for row in sorted(summary.rows, key=lambda row: (-row.image_size, row.policy, by_speed(row))):
        precision = row.precision or precision_in_name(row.policy)
        probe = summary.probe(precision)
        place = _place(row, precision, probe) if probe and precision in BYTES else None
        if place:
            found.append(place)
    return found


def _place(row: Row, precision: str, probe: Probe) -> Place | None:
    """Return a row's place at its fastest batch size.

    None without a count, a speed or a ceiling.
    """
    speeds = row.by_batch("throughput")
    params, macs, activations = map(row.value, ("params", "macs", "activations"))
    matmul, copy = ceiling(probe, "matmul_ceiling"), ceiling(probe, "copy_ceiling")
    if not speeds or None in (params, macs, activations, matmul, copy):
        return None
    assert params and macs and activations and matmul and copy
    batch = max(speeds, key=lambda size: speeds[size])
    size = BYTES[precision] * (params.value / batch + 2 * activations.value)
    seconds = {"arithmetic": macs.value / matmul.value, "memory": size / copy.value}
    bound = max(seconds, key=lambda name: seconds[name])
    rate = speeds[batch] * macs.value
    return Place(
        row=row,
        precision=precision,
        batch_size=batch,
        rate=rate,
        mfu=rate / matmul.value,
        intensity=macs.value / size,
        bound=bound,
        share=speeds[batch] * seconds[bound],
    )
