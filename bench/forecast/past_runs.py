"""What runs on this machine took, beside what was expected of them: one line a run in `costs.jsonl`.

No measurement of a model: the next estimate is made from it, and held against it in the open.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from bench.errors import UsageError
from bench.files import files
from bench.files.foreign_errors import content_of, refusing

NAME = "costs.jsonl"
LARGEST = 8 << 20
"""Bytes that are read of it."""
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Count = Annotated[int, msgspec.Meta(ge=0, le=10**9)]


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """One finished run; seconds."""

    run: str
    took: Seconds
    """From the command's start to its tables."""
    expected: Seconds | None = None
    """What the estimate had said for the same arms; None where it had nothing to go by."""
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
    """What runs here take beside what models take: to begin and end, for a count, and in rounds over windows."""

    start: float = 12.0
    count: float = 2.0
    spent: float = 1.2
    """Seconds of rounds for a second of windows: waking, looks. (New processes are estimated by themselves.)"""


def append(folder: Path, cost: Cost) -> None:
    """Add a run to the machine's folder."""
    path = folder / NAME
    files.create(path, b"")
    files.append(path, msgspec.json.encode(cost) + b"\n")


def read(folder: Path) -> list[Cost]:
    """The runs of a machine's folder; a line that is torn or none is left out."""
    try:
        lines = content_of(folder / NAME, LARGEST, UsageError).splitlines()
    except UsageError:
        return []
    found = []
    for line in lines:
        try:
            with refusing(UsageError):
                found.append(msgspec.json.decode(line, type=Cost))
        except UsageError:
            continue
    return found


def habits(costs: list[Cost]) -> Habits:
    """The medians of what there is, the usual values for what there is not."""
    usual = Habits()

    def median(values: list[float], otherwise: float) -> float:
        return statistics.median(values) if values else otherwise

    rest = [
        cost.took - cost.counting - cost.setting_up - cost.rounds - cost.accuracy for cost in costs
    ]
    return Habits(
        start=median([seconds for seconds in rest if seconds > 0], usual.start),
        count=median([cost.counting / cost.counts for cost in costs if cost.counts], usual.count),
        spent=median(
            [cost.rounds / cost.windows for cost in costs if cost.windows > 0], usual.spent
        ),
    )


def missed(costs: list[Cost]) -> list[float]:
    """What past runs took over what was expected of them, the latest last."""
    return [cost.took / cost.expected for cost in costs if cost.expected]
