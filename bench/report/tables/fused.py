"""Handwritten kernels against each model's best policy of libraries, in the same rounds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import starmap
from operator import attrgetter

from bench.analysis.groups import grouped
from bench.analysis.rows import Quantity, Row, Summary, by_speed
from bench.report.columns import described, table_scale
from bench.report.notes import Caveat
from bench.report.table import Column, Columns, Table, TableRow
from bench.report.tables.speed_notes import HANDWRITTEN_NOTE
from bench.report.tables.speeds import ratio_cell, value_cell

NOTES = [Caveat(HANDWRITTEN_NOTE), "ratios are paired by round, in rounds that did not choose"]


def handwritten(summary: Summary) -> Iterator[Table]:
    """Yield one line per model and handwritten policy, over the policy chosen as the best."""
    groups = grouped(summary.best, attrgetter("image_size"))
    for size in sorted(groups, reverse=True):
        pairs = list(_pairs(sorted(groups[size], key=by_speed)))
        shared = filter(None, starmap(_shared, pairs))
        for quantity in sorted(set(shared)):
            yield _table(summary, pairs, quantity, size)


def _pairs(rows: list[Row]) -> Iterator[tuple[Row, Row]]:
    """Yield every handwritten row with the row of its model's best policy."""
    chosen = {row.model: row for row in rows if not row.handwritten}
    for row in rows:
        if row.handwritten and row.model in chosen:
            yield row, chosen[row.model]


def _table(summary: Summary, pairs: list[tuple[Row, Row]], quantity: Quantity, size: int) -> Table:
    _, unit = table_scale(quantity)
    columns: Columns = [
        "model",
        "handwritten",
        Column(f"its {unit} ↑", quantity.metric, unit, "higher"),
        "best policy",
        Column(f"its {unit} ↑", f"best_{quantity.metric}", unit, "higher"),
        Column("handwritten over best ↑", "ratio", "", "higher"),
    ]
    title = (
        f"Handwritten kernels over each model's best policy, batch {quantity.batch_size} · "
        f"{size} × {size} px on {summary.machine.hardware}"
    )
    lines = [_line(row, best, quantity) for row, best in pairs if _shared(row, best) == quantity]
    return Table(title, columns, lines, NOTES)


def _line(row: Row, best: Row, quantity: Quantity) -> TableRow:
    return [
        row.label,
        described(row.policy),
        value_cell(row, quantity),
        described(best.policy),
        value_cell(best, quantity),
        ratio_cell(row, best, quantity),
    ]


def _shared(row: Row, best: Row) -> Quantity | None:
    """Return the throughput of both at the largest batch size, where best policies are chosen."""
    both = (one for one in row.values if one.metric == "throughput" and one in best.values)
    return max(both, default=None)
