"""Two sets of weights on the same images, as a table."""

from __future__ import annotations

from bench.analysis.rows import Accuracy
from bench.analysis.weights import spelled
from bench.errors import UsageError
from bench.report.table import Table
from bench.stats.formatting import interval
from bench.stats.intervals import Paired, mcnemar


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
    if len(mine) != len(theirs) or left.detail.get("unreadable", []) != right.detail.get(
        "unreadable", []
    ):
        raise UsageError(
            f"--compare: {len(mine)} and {len(theirs)} images were read; the same images are needed"
        )
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
    return Table(
        f"Compared on {left.arm.data}", ["weights", "top-1 % [95 %]", "right alone"], lines, notes
    )
