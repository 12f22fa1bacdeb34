"""Several machines beside each other, never averaged: what each of them says of the same model."""

from __future__ import annotations

from collections.abc import Iterator

from bench.analysis.rows import Quantity, Row, Summary
from bench.report.columns import described, table_scale
from bench.report.table import Column, Table
from bench.report.tables.speeds import ratio_cell, value_cell
from bench.stats.reference import reference_model

METRICS = ("throughput", "latency")


def side_by_side(summaries: list[Summary]) -> Iterator[Table]:
    """Per image size and metric one table, a column per machine, policy and batch size, where two machines have a model in common."""
    sizes = sorted({row.image_size for summary in summaries for row in summary.rows}, reverse=True)
    for size in sizes:
        for metric in METRICS:
            yield from _table(summaries, size, metric)


def _table(summaries: list[Summary], size: int, metric: str) -> Iterator[Table]:
    found: dict[tuple[str, str, Quantity], dict[str, Row]] = {}
    for summary in summaries:
        for row in summary.rows:
            for quantity in row.values if row.image_size == size else ():
                if quantity.metric == metric:
                    found.setdefault((summary.machine.name, row.policy, quantity), {})[
                        row.model
                    ] = row
    machines: dict[str, set[str]] = {}
    for (machine, _, _), rows in found.items():
        for model in rows:
            machines.setdefault(model, set()).add(machine)
    shared = {model for model, names in machines.items() if len(names) > 1}
    columns = {
        key: rows
        for key, rows in sorted(found.items(), key=lambda item: item[0])
        if shared & rows.keys()
    }
    # Where machines were asked the same question (policy and batch size), only that stands here.
    asked: dict[tuple[str, Quantity], set[str]] = {}
    for machine, policy, quantity in columns:
        asked.setdefault((policy, quantity), set()).add(machine)
    if any(len(names) > 1 for names in asked.values()):
        columns = {key: rows for key, rows in columns.items() if len(asked[key[1], key[2]]) > 1}
    if len({machine for machine, _, _ in columns}) < 2:
        return
    any_rows = next(iter(columns.values()))
    models = sorted(shared, key=lambda model: (-_speed(any_rows.get(model)), model))
    table = Table(
        f"Machines side by side · {metric} · {size} × {size} px",
        ["model"],
        [[model] for model in models],
    )
    for (machine, policy, quantity), rows in columns.items():
        _, unit = table_scale(quantity)
        reference = rows[reference_model((row.model, row.about.family) for row in rows.values())]
        mark = " †" if any(row.handwritten for row in rows.values()) else ""
        name = f"{machine}, {described(policy)}{mark}, {unit} b{quantity.batch_size}"
        measured = [rows.get(model) for model in models]
        table.add(
            Column(name, metric, unit, quantity.better),
            [value_cell(row, quantity) if row else "" for row in measured],
        )
        ratios = [ratio_cell(row, reference, quantity) if row else "" for row in measured]
        table.add(Column(f"× {reference.model}", "ratio"), ratios)
    table.notes = [
        "medians with 95 % intervals, each machine by itself; speeds of different machines are not averaged, and ratios between machines "
        "are not formed: they were not measured in the same rounds"
    ]
    yield table


def _speed(row: Row | None) -> float:
    found = row.value("throughput") if row else None
    return found.value if found else 0.0
