"""The comparison of two sets of weights on the same images, by McNemar's test, as a table."""

from __future__ import annotations

from bench.analysis.rows import Accuracy
from bench.analysis.weights import spelled
from bench.errors import UsageError
from bench.report.notes import Caveat
from bench.report.table import Table
from bench.stats.formatting import interval
from bench.stats.intervals import Paired, mcnemar

LEVEL = 0.05


def compare(left: Accuracy, right: Accuracy) -> Table:
    """Return the comparison; UsageError if the two were not evaluated on the same images."""
    return _table(left, right, paired(left, right))


def paired(left: Accuracy, right: Accuracy) -> Paired:
    """Return McNemar's test of two sets of answers; UsageError as for `compare`."""
    if (left.arm.data, left.arm.labels) != (right.arm.data, right.arm.labels):
        raise UsageError(
            f"--compare: {spelled(left)} was tested on {left.arm.data} and {spelled(right)} on "
            f"{right.arm.data}; the same images are needed"
        )
    mine, theirs = left.arrays.get("correct"), right.arrays.get("correct")
    if mine is None or theirs is None:
        raise UsageError(
            f"--compare: {spelled(left if mine is None else right)} has no per-image answers next "
            "to its record; evaluate it again with --force"
        )
    unreadable = left.detail.get("unreadable", []), right.detail.get("unreadable", [])
    if len(mine) != len(theirs) or unreadable[0] != unreadable[1]:
        raise UsageError(
            f"--compare: {len(mine)} and {len(theirs)} images were read; the same images are needed"
        )
    return mcnemar(mine.tolist(), theirs.tolist())


def _table(left: Accuracy, right: Accuracy, paired: Paired) -> Table:
    lines = [_line(left, paired.only_left), _line(right, paired.only_right)]
    difference = interval(paired.difference, factor=100, places=2)
    outcome = "they differ at 5 %" if paired.p < LEVEL else "they are statistically tied at 5 %"
    notes = [
        Caveat(
            f"difference {difference} points on the same {paired.difference.n:,} images; McNemar's "
            f"exact test p = {paired.p:.3g}: {outcome}"
        ),
        Caveat(
            "this compares two sets of weights, not two architectures: those differ by their "
            "recipes and seeds too"
        ),
    ]
    columns = ["weights", "top-1 % [95 %]", "right alone"]
    return Table(f"Compared on {left.arm.data}", columns, lines, notes)


def _line(row: Accuracy, alone: int) -> list[str]:
    """Return the weights, their top-1, and the images that only they answered right."""
    return [spelled(row), interval(row.top1, factor=100, places=2), f"{alone:,}"]
