"""Two sets of weights on the same images: McNemar's test of which was right where the other was not. Reads records only."""

from __future__ import annotations

from pathlib import Path

from bench.analysis.summary import Accuracy, accuracies_of
from bench.errors import UsageError
from bench.record.reading import read_below
from bench.record.store import DamagedRecord
from bench.report.table import Table
from bench.stats.formatting import interval
from bench.stats.intervals import Paired, mcnemar


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
        if name in (spelled(row), row.name, row.path.stem, row.path.name, str(row.path), row.path.stem.rpartition(".")[2])
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f"--compare: {name!r} means {len(found)} sets of weights; name one by its key: {', '.join(_with_key(row) for row in found)}"
        )
    known = ", ".join(_with_key(row) for row in rows[:8]) or "none"
    raise UsageError(f"--compare: no evaluated weights {name!r}; there are {known}{' ...' if len(rows) > 8 else ''}")


def _with_key(row: Accuracy) -> str:
    return f"{spelled(row)} ({row.path.stem.rpartition('.')[2]})"


def compare(left: Accuracy, right: Accuracy) -> Table:
    """The comparison as a table; UsageError where the two did not see the same images."""
    if (left.arm.data, left.arm.labels) != (right.arm.data, right.arm.labels):
        raise UsageError(
            f"--compare: {spelled(left)} was tested on {left.arm.data} and {spelled(right)} on {right.arm.data}; the same images are needed"
        )
    mine, theirs = left.arrays.get("correct"), right.arrays.get("correct")
    if mine is None or theirs is None:
        raise UsageError(
            f"--compare: {spelled(left if mine is None else right)} has no per-image answers beside its record; "
            "evaluate it again with --force"
        )
    if len(mine) != len(theirs) or left.detail.get("unreadable", []) != right.detail.get("unreadable", []):
        raise UsageError(f"--compare: {len(mine)} and {len(theirs)} images were read; the same images are needed")
    return _table(left, right, mcnemar(mine.tolist(), theirs.tolist()))


def _table(left: Accuracy, right: Accuracy, found: Paired) -> Table:
    def share(row: Accuracy) -> str:
        return interval(row.top1, factor=100, places=2) if row.top1 else ""

    lines = [
        [spelled(left), share(left), f"{found.only_left:,}"],
        [spelled(right), share(right), f"{found.only_right:,}"],
    ]
    notes = [
        f"difference {interval(found.difference, factor=100, places=2)} points on the same {found.difference.n:,} images; "
        f"McNemar's exact test p = {found.p:.3g}: {'they differ' if found.p < 0.05 else 'they cannot be told apart'} at 5 %",
        "this compares two sets of weights, not two architectures: those differ by their recipes and seeds too",
    ]
    return Table(f"Compared on {left.arm.data}", ["weights", "top-1 % [95 %]", "right alone"], lines, notes)
