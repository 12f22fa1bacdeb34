"""One value per round, from a record's samples."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator

from bench.record.arms import At
from bench.record.schema import Phase, RoundLine, Sample
from bench.record.store import Record

MEASURED: tuple[Phase, ...] = ("measure", "choose")
"""The phases in tables of one policy; rounds that confirm a choice are in the table of the best."""


class InProcess(float):
    """A round's value that knows the process that measured it, by run and number."""

    process: tuple[str, int]

    def __new__(cls, value: float, process: tuple[str, int]) -> InProcess:
        made = super().__new__(cls, value)
        made.process = process
        return made

    def __reduce__(self) -> tuple[type[InProcess], tuple[float, tuple[str, int]]]:
        """Keep the process in copies and pickles: launchers send values between machines."""
        return InProcess, (float(self), self.process)


def samples(
    record: Record, metric: str, phases: Iterable[str] = MEASURED
) -> Iterator[tuple[RoundLine, Sample]]:
    """Yield the samples of a metric with their rounds; the last one if a window was repeated."""
    for line in record.rounds:
        if line.phase in phases:
            last = {sample.metric: sample for sample in line.samples}
            if metric in last:
                yield line, last[metric]


def per_round(record: Record, metric: str, phases: Iterable[str] = MEASURED) -> dict[At, InProcess]:
    """Return the median of each round's window as measured, by (run, round)."""
    return _by_round(samples(record, metric, phases), _median)


def fair_per_round(
    record: Record, metric: str, phases: Iterable[str] = MEASURED
) -> dict[At, InProcess]:
    """Return a value per round for comparisons within the round, by (run, round); see `fair`."""
    return _by_round(samples(record, metric, phases), fair)


def _by_round(
    found: Iterable[tuple[RoundLine, Sample]], value_of: Callable[[Sample], float]
) -> dict[At, InProcess]:
    values: dict[At, InProcess] = {}
    for line, sample in found:
        values[line.run, line.round] = InProcess(value_of(sample), (line.run, line.worker))
    return values


def _median(sample: Sample) -> float:
    return statistics.median(sample.values)


def fair(sample: Sample) -> float:
    """Return the value of a window, corrected for the CPU time that other programs took.

    A window that is one value is a time or a rate over its whole length; it is scaled by the share
    of the processors that was left to it. If others took little, the sample has no `left` and the
    value is as measured, so only ratios of unequally disturbed windows change.

    The median of several calls is not corrected: scaled like this, the latency of ViT next to other
    programs came out as a quarter of its own. Neither are bytes and joules, which others do not
    change.
    """
    value, left = _median(sample), sample.state.get("left")
    if not isinstance(left, float) or len(sample.values) > 1 or sample.unit not in ("s", "image/s"):
        return value
    return value / left if sample.better == "higher" else value * left
