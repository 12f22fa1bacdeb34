"""Several machines side by side, never averaged: the speeds of the models that they share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from operator import attrgetter, itemgetter

from bench.analysis.grade import grade
from bench.analysis.rows import Quantity, Row, Summary
from bench.report.columns import described, table_scale
from bench.report.table import Cell, Column, Table, table_of
from bench.report.tables.speeds import ratio_cell, value_cell
from bench.stats.reference import reference_model

METRICS = ("throughput", "latency")
NOTE = (
    "medians with 95 % intervals, each machine by itself; speeds of different machines are not "
    "averaged, and ratios between machines are not formed: they were not measured in the same "
    "rounds"
)
MeasuredAs = tuple[str, str, Quantity]
"""A machine, a policy and a quantity: the question that one column answers."""
ByModel = dict[str, Row]


def side_by_side(summaries: list[Summary]) -> Iterator[Table]:
    """Yield one table per image size and metric, if two machines measured the same model.

    Each has a column per machine, policy and batch size.
    """
    sizes = set(chain.from_iterable(map(attrgetter("image_sizes"), summaries)))
    for size in sorted(sizes, reverse=True):
        for metric in METRICS:
            yield from _table(summaries, size, metric)


def _table(summaries: list[Summary], size: int, metric: str) -> Iterator[Table]:
    measured = _measured(summaries, size, metric)
    shared = _on_several_machines(measured)
    of_shared = {key: rows for key, rows in measured.items() if shared & rows.keys()}
    columns = _comparable(dict(sorted(of_shared.items(), key=lambda item: item[0])))
    if len(set(map(itemgetter(0), columns))) < 2:
        return
    first = next(iter(columns.values()))
    models = sorted(shared, key=lambda model: (-_speed(first.get(model)), model))
    title = f"Machines side by side · {metric} · {size} × {size} px"
    labels: dict[str, str] = {}
    for rows in columns.values():
        labels |= {model: row.label for model, row in rows.items()}
    table = table_of(title, map(labels.__getitem__, models))
    table.notes.append(NOTE)
    for key, rows in columns.items():
        _add_columns(table, key, rows, models)
    shown = set(map(itemgetter(0), columns))
    for summary in summaries:
        if summary.machine.name in shown:
            table.notes.append(f"{summary.machine.name}: {grade(summary, size).line}")
    yield table


def _measured(summaries: list[Summary], size: int, metric: str) -> dict[MeasuredAs, ByModel]:
    """Return all rows of an image size that have a metric."""
    measured: dict[MeasuredAs, ByModel] = {}
    for summary in summaries:
        for row in summary.at(size):
            for quantity in row.values:
                if quantity.metric == metric:
                    key = (summary.machine.name, row.policy, quantity)
                    measured.setdefault(key, {})[row.model] = row
    return measured


def _on_several_machines(measured: Mapping[MeasuredAs, ByModel]) -> set[str]:
    """Return the models that more than one machine measured."""
    machines: dict[str, set[str]] = {}
    for (machine, _, _), rows in measured.items():
        for model in rows:
            machines.setdefault(model, set()).add(machine)
    return {model for model, names in machines.items() if len(names) > 1}


def _comparable(columns: dict[MeasuredAs, ByModel]) -> dict[MeasuredAs, ByModel]:
    """Return the columns of policies and batch sizes that several machines measured.

    If there are none, all columns are returned.
    """
    machines: dict[tuple[str, Quantity], set[str]] = {}
    for machine, policy, quantity in columns:
        machines.setdefault((policy, quantity), set()).add(machine)
    alike = {key: rows for key, rows in columns.items() if len(machines[key[1], key[2]]) > 1}
    return alike or columns


def _add_columns(table: Table, key: MeasuredAs, rows: ByModel, models: list[str]) -> None:
    """Add the speeds of one machine, and their ratios to its reference."""
    machine, policy, quantity = key
    _, unit = table_scale(quantity)
    reference = rows[reference_model(map(attrgetter("model", "family"), rows.values()))]
    mark = " †" if any(map(attrgetter("handwritten"), rows.values())) else ""
    where = f"{machine}, {described(policy)}{mark}"
    name = f"{where}, {unit} b{quantity.batch_size}"
    speeds: list[Cell | str] = []
    ratios: list[Cell | str] = []
    for row in map(rows.get, models):
        speeds.append(value_cell(row, quantity) if row else "")
        ratios.append(ratio_cell(row, reference, quantity) if row else "")
    table.add(Column(name, quantity.metric, unit, quantity.better), speeds)
    # A narrow terminal leaves out columns: each says by itself which machine it is of.
    table.add(Column(f"× {reference.label} on {where}, b{quantity.batch_size}", "ratio"), ratios)


def _speed(row: Row | None) -> float:
    speed = row.value("throughput") if row else None
    return speed.value if speed else 0.0
