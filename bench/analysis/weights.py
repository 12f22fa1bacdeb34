"""Two sets of weights on the same images: McNemar's test of which was right where the other was not. Reads records only."""

from __future__ import annotations

from pathlib import Path

from bench.analysis.rows import Accuracy
from bench.analysis.summary import accuracies_of
from bench.errors import UsageError
from bench.record.reading import read_below
from bench.record.store import DamagedRecord


def rows_of(results: Path, data: str | None) -> tuple[list[Accuracy], list[DamagedRecord]]:
    """Every finished accuracy below a results folder, or on one data set, and the records that cannot be read."""
    found, damaged = read_below(results)
    rows = [row for row in accuracies_of(found) if row.top1 and row.arm.split == "test"]
    return [row for row in rows if data is None or row.arm.data == data], damaged


def spelled(row: Accuracy) -> str:
    """How somebody names one set of weights: model, tag or seed, and the record where that is not enough."""
    return row.name + (f"@seed={row.arm.seed}" if row.arm.recipe else "")


def find(name: str, rows: list[Accuracy]) -> Accuracy:
    """The one set of weights that a name means: `model@tag`, `model@seed=1`, a record's path or its key."""
    found = [
        row
        for row in rows
        if name
        in (
            spelled(row),
            row.name,
            row.path.stem,
            row.path.name,
            str(row.path),
            row.path.stem.rpartition(".")[2],
        )
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f"--compare: {name!r} means {len(found)} sets of weights; name one by its key: {', '.join(_with_key(row) for row in found)}"
        )
    known = ", ".join(_with_key(row) for row in rows[:8]) or "none"
    raise UsageError(
        f"--compare: no evaluated weights {name!r}; there are {known}{' ...' if len(rows) > 8 else ''}"
    )


def _with_key(row: Accuracy) -> str:
    return f"{spelled(row)} ({row.path.stem.rpartition('.')[2]})"
