"""The display of each metric: its place among the columns, its name, header, unit and text.

`COLUMNS` is in reading order. Tables, `--columns`, the page, the Pareto figures and `bench list`
read it. A metric without an entry, such as a plug-in's, comes after the others and is shown by its
name, the unit in its records and three significant figures.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis.rows import Quantity
from bench.record.precisions import BYTES
from bench.report.table import ARROWS, Column
from bench.stats.formatting import estimate, human, number, scale
from bench.stats.intervals import Estimate

Details = Sequence[Mapping[str, Any]]
"""The details of each window's sample."""
UNIT = "{unit}"
"""The place of the unit in a header."""


def _with_interval(value: Estimate, unit: str, details: Details) -> str:
    return estimate(value, unit)


def _counted_out(value: Estimate, unit: str, details: Details) -> str:
    return f"{value.value:,.0f}"


def _gmacs(value: Estimate, unit: str, details: Details) -> str:
    return number(value.value * scale(unit)[0], places=2 if value.value >= 1e7 else 4)


def _energy(value: Estimate, unit: str, details: Details) -> str:
    """Return the energy drawn; in brackets, less that of the idle GPU."""
    net = statistics.median(detail["net_j"] for detail in details)
    return f"{estimate(value, unit)} (net {number(net * scale(unit)[0])})"


def _largest_batch(value: Estimate, unit: str, details: Details) -> str:
    """Return the batch size, with `≥` if time ended the search before memory did."""
    return ("≥ " if details[-1].get("at_least") else "") + _counted_out(value, unit, details)


@dataclass(frozen=True, kw_only=True)
class Display:
    """The display of one metric.

    name: in sentences and on axes.
    header: in a table, with `{unit}` in place of the unit; name and unit unless given.
    unit: a factor and a name in place of the stored unit's usual ones (`stats.formatting.UNITS`).
    exact: tables show the stored value itself, without a unit.
    text: returns a table cell from a value, its stored unit and the details of its windows.
    brief: returns a cell of a terminal from the value in the column's unit; files, where exact
        numbers are copied from, keep the other text. The same text unless given.
    one_batch: measured at one batch size, regardless of `--batch-sizes`.
    pareto: True for a figure of top-1 against it.
    """

    name: str
    header: str = ""
    unit: tuple[float, str] | None = None
    exact: bool = False
    text: Callable[[Estimate, str, Details], str] = _with_interval
    brief: Callable[[float], str] | None = None
    one_batch: bool = False
    pareto: bool = False


TOP1, TOP1_PUBLISHED = "top1", "top1_published"
TRAINING_TIME = Quantity("training_time", 0, "s", "lower")
"""Not a metric of its own, but a detail of top-1."""
COLUMNS = {
    TOP1: Display(name="top-1", header="top-1 {unit}"),
    TOP1_PUBLISHED: Display(
        name="top-1 on ImageNet-1k as published", header="top-1 {unit} on ImageNet-1k as published"
    ),
    "params": Display(
        name="parameters",
        header="params",
        exact=True,
        text=_counted_out,
        brief=human,
        pareto=True,
    ),
    "macs": Display(name="MACs", header="GMACs¹", text=_gmacs, pareto=True),
    "activations": Display(name="activations"),
    "latency": Display(name="latency", one_batch=True, pareto=True),
    "graph_latency": Display(name="graph latency", one_batch=True),
    "throughput": Display(name="throughput", header="{unit}", pareto=True),
    "memory": Display(name="peak memory", pareto=True),
    "energy": Display(name="energy per image", header="energy {unit}", text=_energy, pareto=True),
    "largest_batch": Display(name="largest batch", text=_largest_batch),
    "first_call": Display(name="first call"),
    "train_memory": Display(name="train memory"),
    "train_step": Display(name="train step"),
    "train_throughput": Display(name="train throughput"),
    TRAINING_TIME.metric: Display(name="training time", unit=(1.0, "s"), pareto=True),
}


def display_of(metric: str) -> Display:
    """Return the display of a metric; of an unknown one, the defaults under its own name."""
    return COLUMNS.get(metric) or Display(name=metric.replace("_", " "))


def place_of(metric: str) -> int:
    """Return a metric's place among all columns; unknown metrics share the last place."""
    return list(COLUMNS).index(metric) if metric in COLUMNS else len(COLUMNS)


def scale_of(quantity: Quantity) -> tuple[float, str]:
    """Return the factor from the stored unit to the unit on axes, and the latter's name."""
    return display_of(quantity.metric).unit or scale(quantity.unit)


def table_scale(quantity: Quantity) -> tuple[float, str]:
    """Return the factor and the unit's name for a table's column."""
    return (1.0, "") if display_of(quantity.metric).exact else scale_of(quantity)


def header_of(metric: str, unit: str) -> str:
    """Return the header of a table's column, without batch size and direction."""
    shown = display_of(metric)
    return (shown.header or f"{shown.name} {UNIT}").replace(UNIT, unit)


def column_of(quantity: Quantity) -> Column:
    """Return the table column of a quantity, such as `latency ms b1 ↓`."""
    _, unit = table_scale(quantity)
    at = f" b{quantity.batch_size}" if quantity.batch_size else ""
    name = f"{header_of(quantity.metric, unit)}{at}{ARROWS[quantity.better]}"
    return Column(name, key=quantity.metric, unit=unit, better=quantity.better)


def axis_of(quantity: Quantity) -> str:
    """Return the label of an axis, such as `latency in ms, batch 1`."""
    _, unit = scale_of(quantity)
    at = f", batch {quantity.batch_size}" if quantity.batch_size else ""
    return f"{display_of(quantity.metric).name} in {unit}{at}"


def text_of(quantity: Quantity, value: Estimate, details: Details) -> str:
    """Return a value as the text of a table cell."""
    return display_of(quantity.metric).text(value, quantity.unit, details)


def described(policy: str) -> str:
    """Return a policy in words: `fp32 eager` for a bare precision, which compiles nothing."""
    return f"{policy} eager" if policy in BYTES else policy
