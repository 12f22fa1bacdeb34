"""Throughput over the batch size, and over the size of the model within each family."""

from __future__ import annotations

from operator import attrgetter

import matplotlib.figure

from bench.analysis.groups import grouped
from bench.analysis.rows import Row, Summary
from bench.analysis.summary import of_one_policy
from bench.plugins import Figure, figures
from bench.report.palette import family, family_order
from bench.report.tables.speed_gap import patch_of

from ._labels import place
from ._style import interval_bar, legend_below, log_ticks, new_figure

BATCHES = 3
"""Fewest batch sizes that make a line worth drawing."""
LINES = 16
"""Most lines over batch sizes; with more than twice as many points over sizes, none is named."""


def scaling(summary: Summary) -> dict[str, matplotlib.figure.Figure]:
    """Draw, per image size, figures over batch sizes and over parameters, if they have lines."""
    drawn = {}
    for size in summary.image_sizes:
        rows = of_one_policy(list(filter(_has_throughput, summary.at(size))))
        on = f"on {summary.machine.hardware}"
        swept = [row for row in rows if len(row.by_batch("throughput")) >= BATCHES][:LINES]
        if swept:
            where = f"{size} px, {swept[0].policy} {on}"
            drawn[f"scaling_batch_{size}"] = _over_batches(swept, where)
        families = grouped(filter(_is_counted, rows), attrgetter("family"))
        if any(map(_differ_in_size, families.values())):
            batch = max(rows[0].by_batch("throughput"))
            where = f"{size} px, batch {batch}, {rows[0].policy} {on}"
            drawn[f"scaling_size_{size}"] = _over_sizes(families, where)
    return drawn


def _has_throughput(row: Row) -> bool:
    return row.quantity("throughput") is not None


def _is_counted(row: Row) -> bool:
    return row.quantity("params") is not None


def _differ_in_size(rows: list[Row]) -> bool:
    """True if rows of a family have different numbers of parameters."""
    return len(set(map(_params, rows))) > 1


def _params(row: Row) -> float:
    """Return parameters in millions."""
    return row.exact("params") / 1e6


def _throughput(row: Row) -> float:
    """Return images per second at the largest batch size."""
    return row.exact("throughput")


def _patch(row: Row) -> int | None:
    """Return the side of a row's patches in pixels; None without patches."""
    return patch_of(row.model)


def _over_batches(rows: list[Row], where: str) -> matplotlib.figure.Figure:
    figure, axes = new_figure(
        "Throughput against batch size", f"median and 95 % interval · {where}"
    )
    ends = []
    batches: list[float] = []
    speeds: list[float] = []
    for row in sorted(rows, key=lambda row: (family_order(row.about.family), row.model)):
        _, colour, marker = family(row.about.family)
        swept = sorted(one for one in row.values if one.metric == "throughput")
        xs = [quantity.batch_size for quantity in swept]
        ys = [row.values[quantity].value for quantity in swept]
        axes.plot(xs, ys, color=colour, marker=marker, lw=1.2, ms=5)
        for quantity in swept:
            interval_bar(axes, quantity.batch_size, row.values[quantity], colour)
        ends.append((float(xs[-1]), ys[-1], row.label, colour))
        batches += map(float, xs)
        speeds += ys
    log_ticks(axes, "x", batches, base=2)
    log_ticks(axes, "y", speeds)
    axes.set_xlabel("images per call")
    axes.set_ylabel("img/s (more is better)")
    axes.margins(x=0.25)
    place(figure, axes, ends)
    return figure


def _over_sizes(families: dict[str, list[Row]], where: str) -> matplotlib.figure.Figure:
    figure, axes = new_figure(
        "Throughput against parameters",
        "lines join the models of a family with patches of the same size; median and 95 % "
        f"interval · {where}",
    )
    points = []
    for name in sorted(families, key=family_order):
        label, colour, marker = family(name)
        rows = sorted(families[name], key=lambda row: (_params(row), row.model))
        for joined in grouped(rows, _patch).values():
            xs, ys = list(map(_params, joined)), list(map(_throughput, joined))
            axes.plot(xs, ys, color=colour, marker=marker, lw=1.2, ms=6, label=label)
            label = ""  # once in the legend
        for row in rows:
            interval_bar(axes, _params(row), row.value("throughput"), colour)
            points.append((_params(row), _throughput(row), row.label, colour))
    log_ticks(axes, "x", [x for x, *_ in points])
    log_ticks(axes, "y", [y for _, y, *_ in points])
    axes.set_xlabel("parameters in M")
    axes.set_ylabel("img/s (more is better)")
    axes.margins(x=0.18, y=0.12)
    legend_below(figure)
    if len(points) <= LINES * 2:
        place(figure, axes, points)
    return figure


figures.add(
    Figure(
        name="scaling",
        draw=scaling,
        summary="throughput over batch size and over model size",
        needs="throughput at three batch sizes, or of two models of a family",
    )
)
