"""One value per round out of a record's samples."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from bench.record.schema import Phase, RoundLine, Sample
from bench.record.store import Record

MEASURED: tuple[Phase, ...] = ("measure", "choose")
"""The phases whose rounds stand in tables of one policy; those that confirm a choice stand in the table of the best."""


class InProcess(float):
    """A round's value that knows which process gave it, by run and number."""

    process: tuple[str, int]

    def __new__(cls, value: float, process: tuple[str, int]) -> InProcess:
        made = super().__new__(cls, value)
        made.process = process
        return made

    def __reduce__(self) -> tuple[type[InProcess], tuple[float, tuple[str, int]]]:
        """Copied and pickled whole: launchers send values from machine to machine."""
        return InProcess, (float(self), self.process)


def samples(
    record: Record, metric: str, phases: Iterable[str] = MEASURED
) -> Iterable[tuple[RoundLine, Sample]]:
    """The samples of one metric with the rounds that they are of. Of a repeated window the last one counts."""
    for line in record.rounds:
        if line.phase in phases:
            last = {sample.metric: sample for sample in line.samples}
            if metric in last:
                yield line, last[metric]


def per_round(
    record: Record, metric: str, phases: Iterable[str] = MEASURED
) -> dict[tuple[str, int], InProcess]:
    """One value per round as measured, the median of its window, by (run, round). Each knows its process."""
    found = samples(record, metric, phases)
    return {
        (line.run, line.round): InProcess(statistics.median(sample.values), (line.run, line.worker))
        for line, sample in found
    }


def fair_per_round(
    record: Record, metric: str, phases: Iterable[str] = MEASURED
) -> dict[tuple[str, int], InProcess]:
    """One value per round for comparing with others' of the same round: see `fair`. Each knows its process."""
    found = samples(record, metric, phases)
    return {
        (line.run, line.round): InProcess(fair(sample), (line.run, line.worker))
        for line, sample in found
    }


def fair(sample: Sample) -> float:
    """What a window as a whole did, held against the share of the processors that others left to it; else its median.

    As measured where nobody else took much (the sample has no `left` then): only ratios of windows that were disturbed
    unequally change. The median of several calls is as measured too: held against the share left, ViT's latency beside others
    came out as a quarter of its own. So are bytes and joules, which others do not change.
    """
    value, left = statistics.median(sample.values), sample.state.get("left")
    if not isinstance(left, float) or len(sample.values) > 1 or sample.unit not in ("s", "image/s"):
        return value
    return value / left if sample.better == "higher" else value * left
