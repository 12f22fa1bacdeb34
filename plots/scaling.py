"""How speed scales: throughput over the batch size, and over the size of the model within each family."""

from __future__ import annotations

import matplotlib.figure

from bench.analysis.rows import Row, Summary
from bench.analysis.summary import of_one_policy
from bench.plugins import Figure, figures
from bench.report.palette import family, family_order

from ._labels import place
from ._style import log_ticks, new_figure

BATCHES = 3
"""Batch sizes that make a line worth drawing."""
LINES = 16


def scaling(summary: Summary) -> dict[str, matplotlib.figure.Figure]:
    """Per image size: one figure over batch sizes, one over parameters; each only where it has a line."""
    drawn = {}
    for size in sorted({row.image_size for row in summary.rows}, reverse=True):
        rows = of_one_policy(
            [row for row in summary.rows if row.image_size == size and row.by_batch("throughput")]
        )
        machine = summary.machine.hardware
        swept = [row for row in rows if len(row.by_batch("throughput")) >= BATCHES][:LINES]
        if swept:
            drawn[f"scaling_batch_{size}"] = _over_batches(
                swept, f"{size} px, {swept[0].policy} on {machine}"
            )
        families: dict[str, list[Row]] = {}
        for row in rows:
            if row.value("params"):
                families.setdefault(row.about.family, []).append(row)
        if any(len({_params(row) for row in found}) > 1 for found in families.values()):
            batch = max(rows[0].by_batch("throughput"))
            drawn[f"scaling_size_{size}"] = _over_sizes(
                families, f"{size} px, batch {batch}, {rows[0].policy} on {machine}"
            )
    return drawn


def _params(row: Row) -> float:
    value = row.value("params")
    assert value is not None
    return value.value / 1e6


def _over_batches(rows: list[Row], where: str) -> matplotlib.figure.Figure:
    figure, axes = new_figure(
        "Throughput against batch size", f"median and 95 % interval · {where}"
    )
    ends = []
    for row in sorted(rows, key=lambda row: (family_order(row.about.family), row.model)):
        _, colour, marker = family(row.about.family)
        found = sorted(
            (quantity.batch_size, value)
            for quantity, value in row.values.items()
            if quantity.metric == "throughput"
        )
        axes.plot(
            [batch for batch, _ in found],
            [value.value for _, value in found],
            color=colour,
            marker=marker,
            lw=1.2,
            ms=5,
        )
        for batch, value in found:
            if value.low is not None and value.high is not None:
                axes.vlines(batch, value.low, value.high, color=colour, linewidth=1)
        ends.append((float(found[-1][0]), found[-1][1].value, row.model, colour))
    log_ticks(
        axes, "x", [float(batch) for row in rows for batch in row.by_batch("throughput")], base=2
    )
    log_ticks(axes, "y", [value for row in rows for value in row.by_batch("throughput").values()])
    axes.set_xlabel("images per call")
    axes.set_ylabel("img/s (more is better)")
    axes.margins(x=0.25)
    figure.draw_without_rendering()
    place(figure, axes, ends, [])
    return figure


def _over_sizes(families: dict[str, list[Row]], where: str) -> matplotlib.figure.Figure:
    figure, axes = new_figure(
        "Throughput against parameters",
        f"lines join the models of a family; median and 95 % interval · {where}",
    )
    points, speeds = [], []
    for name in sorted(families, key=family_order):
        label, colour, marker = family(name)
        rows = sorted(families[name], key=lambda row: (_params(row), row.model))
        found = [(_params(row), row.value("throughput"), row.model) for row in rows]
        xs, ys = [x for x, *_ in found], [y.value for _, y, _ in found if y]
        axes.plot(xs, ys, color=colour, marker=marker, lw=1.2, ms=6, label=label)
        for x, y, model in found:
            if y and y.low is not None and y.high is not None:
                axes.vlines(x, y.low, y.high, color=colour, linewidth=1)
            points.append((x, y.value if y else 0.0, model, colour))
        speeds += ys
    log_ticks(axes, "x", [x for x, *_ in points])
    log_ticks(axes, "y", speeds)
    axes.set_xlabel("parameters in M")
    axes.set_ylabel("img/s (more is better)")
    axes.margins(x=0.18, y=0.12)
    figure.legend(loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    figure.draw_without_rendering()
    if len(points) <= LINES * 2:
        place(figure, axes, points, [])
    return figure


figures.add(
    Figure(name="scaling", draw=scaling, summary="throughput over batch size and over model size")
)
