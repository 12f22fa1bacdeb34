"""Handwritten kernels beside the best that libraries made of the same model, in the same rounds."""

from __future__ import annotations

from collections.abc import Iterator

from bench.analysis.rows import Quantity, Row, Summary, by_speed
from bench.report.columns import described, table_scale
from bench.report.table import Column, Columns, Line, Table
from bench.report.tables.speeds import HANDWRITTEN_NOTE, ratio_cell, value_cell


def handwritten(summary: Summary) -> Iterator[Table]:
    """One line per model and handwritten policy, over the policy that was chosen as the model's best."""
    for size in sorted({row.image_size for row in summary.best if row.handwritten}, reverse=True):
        here = sorted((row for row in summary.best if row.image_size == size), key=by_speed)
        chosen = {row.model: row for row in here if not row.handwritten}
        pairs = [
            (row, chosen[row.model]) for row in here if row.handwritten and row.model in chosen
        ]
        for quantity in sorted({one for row, best in pairs for one in _shared(row, best)}):
            _, unit = table_scale(quantity)
            lines: list[Line] = [
                [
                    *(
                        row.model,
                        described(row.policy),
                        value_cell(row, quantity),
                        described(best.policy),
                        value_cell(best, quantity),
                    ),
                    ratio_cell(row, best, quantity),
                ]
                for row, best in pairs
                if quantity in _shared(row, best)
            ]
            columns: Columns = [
                *("model", "handwritten", Column(f"its {unit} ↑", quantity.metric, unit, "higher")),
                *(
                    "best policy",
                    Column(f"its {unit} ↑", f"best_{quantity.metric}", unit, "higher"),
                ),
                Column("handwritten over best ↑", "ratio", "", "higher"),
            ]
            title = f"Handwritten kernels over each model's best policy, batch {quantity.batch_size} · {size} × {size} px"
            notes = [HANDWRITTEN_NOTE, "ratios are paired by round, on rounds that did not choose"]
            yield Table(f"{title} on {summary.machine.hardware}", columns, lines, notes)


def _shared(row: Row, best: Row) -> list[Quantity]:
    """Throughputs that both have; at the largest batch, where a best policy is chosen."""
    both = [
        quantity
        for quantity in row.values
        if quantity.metric == "throughput" and quantity in best.values
    ]
    return [max(both)] if both else []
