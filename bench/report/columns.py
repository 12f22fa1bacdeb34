"""How each metric is shown: its place among the columns, its name, header, unit and text.

`COLUMNS` is in reading order. Tables, `--columns`, the page, the Pareto figures and `bench list`
read it. A metric without a row, such as a plug-in's, comes after the others and is shown by what
its records say: its name, its unit and three significant figures.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis.rows import Quantity
from bench.record.precisions import BYTES
from bench.report.table import ARROWS, Column
from bench.stats.formatting import estimate, number, scale
from bench.stats.intervals import Estimate

Details = Sequence[Mapping[str, Any]]
"""The details of each window, as its sample has them."""
UNIT = "{unit}"
"""Where the unit stands in a header."""


def _with_interval(value: Estimate, unit: str, details: Details) -> str:
    return estimate(value, unit)


def _counted_out(value: Estimate, unit: str, details: Details) -> str:
    return f"{value.value:,.0f}"


def _gmacs(value: Estimate, unit: str, details: Details) -> str:
    return number(value.value * scale(unit)[0], places=2 if value.value >= 1e7 else 4)


def _energy(value: Estimate, unit: str, details: Details) -> str:
    """The energy drawn, with the net of what the idle GPU draws in brackets."""
    net = statistics.median(detail["net_j"] for detail in details)
    return f"{estimate(value, unit)} (net {number(net * scale(unit)[0])})"


def _largest_batch(value: Estimate, unit: str, details: Details) -> str:
    """`≥` where time ended the search before memory did."""
    return ("≥ " if details[-1].get("at_least") else "") + _counted_out(value, unit, details)


@dataclass(frozen=True, kw_only=True)
class Display:
    """How one metric is shown.

    name: in sentences and on axes.
    header: in a table, with `{unit}` where the unit stands; name and unit unless given.
    unit: a factor and a name in place of the stored unit's usual ones (`stats.formatting.UNITS`).
    exact: tables show the stored value itself, without a unit.
    text: writes a table cell from a value, its stored unit and the details of its windows.
    one_batch: measured at one batch size, whatever `--batch-sizes` says.
    pareto: there is a figure of top-1 against it.
    """

    name: str
    header: str = ""
    unit: tuple[float, str] | None = None
    exact: bool = False
    text: Callable[[Estimate, str, Details], str] = _with_interval
    one_batch: bool = False
    pareto: bool = False


TOP1, TOP1_PUBLISHED = "top1", "top1_published"
TRAINING_TIME = Quantity("training_time", 0, "s", "lower")
"""Not a metric of its own: a detail of top-1."""
COLUMNS = {
    TOP1: Display(name="top-1", header="top-1 {unit}"),
    TOP1_PUBLISHED: Display(
        name="top-1 on ImageNet-1k as published", header="top-1 {unit} on ImageNet-1k as published"
    ),
    "params": Display(
        name="parameters", header="params", exact=True, text=_counted_out, pareto=True
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
    """The row of a metric; for one that has none, the defaults under its own name."""
    return COLUMNS.get(metric) or Display(name=metric.replace("_", " "))


def place_of(metric: str) -> int:
    """Where a metric stands among all columns; those without a row come last, and share a place."""
    return list(COLUMNS).index(metric) if metric in COLUMNS else len(COLUMNS)


def scale_of(quantity: Quantity) -> tuple[float, str]:
    """The factor from the stored unit to the one that is shown on axes, and that one's name."""
    return display_of(quantity.metric).unit or scale(quantity.unit)


def table_scale(quantity: Quantity) -> tuple[float, str]:
    """The same for a table's column."""
    return (1.0, "") if display_of(quantity.metric).exact else scale_of(quantity)


def header_of(metric: str, unit: str) -> str:
    """What heads a table's column, without batch size and direction."""
    shown = display_of(metric)
    return (shown.header or f"{shown.name} {UNIT}").replace(UNIT, unit)


def column_of(quantity: Quantity) -> Column:
    """The table column of a quantity: `latency ms b1 ↓`."""
    _, unit = table_scale(quantity)
    at = f" b{quantity.batch_size}" if quantity.batch_size else ""
    name = f"{header_of(quantity.metric, unit)}{at}{ARROWS[quantity.better]}"
    return Column(name, key=quantity.metric, unit=unit, better=quantity.better)


def axis_of(quantity: Quantity) -> str:
    """What stands on an axis: `latency in ms, batch 1`."""
    _, unit = scale_of(quantity)
    at = f", batch {quantity.batch_size}" if quantity.batch_size else ""
    return f"{display_of(quantity.metric).name} in {unit}{at}"


def text_of(quantity: Quantity, value: Estimate, details: Details) -> str:
    """A value as a table cell."""
    return display_of(quantity.metric).text(value, quantity.unit, details)


def described(policy: str) -> str:
    """Return a policy in words: `fp32 eager` for a bare precision, which compiles nothing."""
    return f"{policy} eager" if policy in BYTES else policy
