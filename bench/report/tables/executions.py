"""The same weights under several policies: top-1, and what each policy changes about it."""

from __future__ import annotations

from collections.abc import Iterator

from bench.analysis.groups import grouped
from bench.analysis.rows import Accuracy, Summary
from bench.errors import UsageError
from bench.report.columns import TOP1, header_of
from bench.report.table import Cell, Column, Columns, Table
from bench.report.tables.weights import paired
from bench.stats.formatting import interval
from bench.stats.intervals import Paired, holm

COLUMNS: Columns = [
    "weights",
    "policy",
    Column(f"{header_of(TOP1, '%')} ↑ [95 %]", TOP1, "%", "higher"),
    Column("− float32, points", "difference", "points"),
    "other answers",
    "p",
]
NOTES = [
    "− float32: the difference to float32 eager execution of the same weights on the same images, "
    "with its 95 % interval; other answers: images of which only one of the two is right",
    "p: McNemar's exact test, Holm-corrected over this table; below 0.05 the policy changes the "
    "accuracy",
]


def executions(summary: Summary) -> Iterator[Table]:
    """Yield one table per data set of weights that were evaluated under a policy."""
    tested: list[Accuracy] = []
    for row in summary.accuracies:
        if row.top1 and row.arm.split == "test" and not row.arm.baseline and not row.arm.trains:
            tested.append(row)
    by_data = grouped(tested, lambda row: (row.arm.data, row.arm.labels or ""))
    for (data, labels), rows in sorted(by_data.items()):
        if any(row.arm.policy for row in rows):
            title = f"Accuracy of what is timed · {data}{f' labels {labels}' if labels else ''}"
            yield Table(title, COLUMNS, _lines(rows), NOTES)


def _lines(rows: list[Accuracy]) -> list[list[Cell | str]]:
    shown: list[tuple[Accuracy, Paired | None]] = []
    for _, group in sorted(grouped(rows, _weights).items()):
        reference = next((row for row in group if row.arm.policy is None), None)
        for row in sorted(group, key=lambda row: row.arm.policy or ""):
            shown.append((row, _against(reference, row)))
    p = holm({place: pair.p for place, (_, pair) in enumerate(shown) if pair is not None})
    return [_line(row, pair, p.get(place)) for place, (row, pair) in enumerate(shown)]


def _weights(row: Accuracy) -> tuple[str, int, str]:
    """Return the key that executions of the same weights on images shown alike share."""
    return row.name, row.arm.image_size, row.arm.transform


def _against(reference: Accuracy | None, row: Accuracy) -> Paired | None:
    """Return a policy's answers against float32's; None if they are not on the same images."""
    if reference is None or row is reference:
        return None
    try:
        return paired(row, reference)
    except UsageError:
        return None


def _line(row: Accuracy, pair: Paired | None, p: float | None) -> list[Cell | str]:
    assert row.top1 is not None
    top1 = Cell.of(interval(row.top1, factor=100, places=2), row.top1.times(100.0))
    name, policy = row.name, row.arm.policy or "fp32 eager"
    if pair is None or p is None:
        return [name, policy, top1, "", "", ""]
    difference = Cell.of(
        interval(pair.difference, factor=100, places=2), pair.difference.times(100.0)
    )
    return [
        name,
        policy,
        top1,
        difference,
        f"{pair.only_left + pair.only_right:,}",
        f"{p:.2g}",
    ]
