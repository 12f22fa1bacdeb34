"""How long runs on this machine took, next to what was expected: one line per run in `costs.jsonl`.

This is no measurement of a model. The next forecast is made from it and compared with it openly.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from bench.errors import UsageError
from bench.files import files
from bench.files.foreign_errors import content_of, refusing

NAME = "costs.jsonl"
LARGEST = 8 << 20
"""Largest size in bytes of a file that is read."""
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Count = Annotated[int, msgspec.Meta(ge=0, le=10**9)]


class RunCost(msgspec.Struct, frozen=True, kw_only=True):
    """The time that one finished run took, in seconds, and how often it did each step."""

    run: str
    took: Seconds
    """From the start of the command to its tables."""
    expected: Seconds | None = None
    """The forecast for the same arms; None if there was nothing to base one on."""
    counts: Count = 0
    counting: Seconds = 0.0
    setups: Count = 0
    setting_up: Seconds = 0.0
    windows: Seconds = 0.0
    rounds: Seconds = 0.0
    accuracies: Count = 0
    accuracy: Seconds = 0.0


@dataclass(frozen=True)
class Habits:
    """What a run on this machine takes regardless of its models.

    `start` is the time to begin and end, `count` the time to count a model, both in seconds.
    """

    start: float = 12.0
    count: float = 2.0
    spent: float = 1.2
    """Seconds of rounds per second of windows, for waking processes and looking at results. (New
    processes are forecast separately.)"""


def append(folder: Path, cost: RunCost) -> None:
    """Add a run to the machine's folder."""
    path = folder / NAME
    files.create(path, b"")
    files.append(path, msgspec.json.encode(cost) + b"\n")


def read(folder: Path) -> list[RunCost]:
    """Return the runs of a machine's folder, without lines that are incomplete or invalid."""
    try:
        lines = content_of(folder / NAME, LARGEST, UsageError).splitlines()
    except UsageError:
        return []
    costs = []
    for line in lines:
        try:
            with refusing(UsageError):
                costs.append(msgspec.json.decode(line, type=RunCost))
        except UsageError:
            continue
    return costs


def habits(costs: Iterable[RunCost]) -> Habits:
    """Return the medians over past runs, with the usual values where no run says anything."""
    starts, counts, spent = [], [], []
    for cost in costs:
        rest = cost.took - cost.counting - cost.setting_up - cost.rounds - cost.accuracy
        if rest > 0:
            starts.append(rest)
        if cost.counts:
            counts.append(cost.counting / cost.counts)
        if cost.windows > 0:
            spent.append(cost.rounds / cost.windows)
    usual = Habits()
    return Habits(
        start=_median(starts, usual.start),
        count=_median(counts, usual.count),
        spent=_median(spent, usual.spent),
    )


def _median(values: Sequence[float], otherwise: float) -> float:
    return statistics.median(values) if values else otherwise


def missed(costs: Iterable[RunCost]) -> list[float]:
    """Return the time each run took over the time that was expected, the latest run last."""
    return [cost.took / cost.expected for cost in costs if cost.expected]
