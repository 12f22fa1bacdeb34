"""Latency and memory over tokens, by growing images and by shrinking patches, for each family."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

import matplotlib.figure
from matplotlib.axes import Axes

from bench.analysis.rows import Quantity, Summary
from bench.claims.evidence import Evidence, Speed
from bench.plugins import Figure, figures
from bench.report.columns import axis_of, scale_of
from bench.report.palette import family
from bench.studies.speed.resolution_cost import BY_IMAGE, BY_PATCH, PATCHES, SIZES, TOKENS

from ._style import empty_figure, headline, log_ticks, open_frame


def _growing(model: str) -> list[Speed]:
    """Return the speeds of a model at growing image sizes."""
    return [Speed(model, size) for size in SIZES]


def _finer(model: str) -> list[Speed]:
    """Return the speeds of models with shrinking patches."""
    return list(map(Speed, map(model.format, PATCHES)))


ByFamily = dict[str, list[Speed]]
WAYS: dict[str, ByFamily] = {
    "images of 112 to 896 pixels, patches of 16": {
        name: _growing(model) for name, model in BY_IMAGE.items()
    },
    "patches of 32 to 4 pixels, images of 224": {
        name: _finer(model) for name, model in BY_PATCH.items()
    },
}
"""Speeds over tokens, by the way to get them and by family."""
QUANTITIES = (Quantity("latency", 1, "s", "lower"), Quantity("memory", 1, "B", "lower"))


def resolution(summary: Summary) -> dict[str, matplotlib.figure.Figure]:
    """Draw two by two panels; nothing if the study was not run."""
    evidence = Evidence(summary)
    if not any(evidence.median(one, "latency") for one in _finest()):
        return {}
    figure = empty_figure(9.0, 7.0)
    panels = figure.subplots(2, 2, sharex=True)
    for column, (way, by_family) in enumerate(WAYS.items()):
        for row, quantity in enumerate(QUANTITIES):
            _panel(panels[row][column], evidence, by_family, quantity)
        panels[0][column].set_title(way, fontsize=9, loc="left", color="#444444")
        panels[1][column].set_xlabel("tokens")
    headline(figure, "What finer grids cost (dotted: linear in tokens, dashed: quadratic)")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return {"resolution": figure}


def _finest() -> Iterator[Speed]:
    """Yield the speed with the most tokens of every family."""
    for by_family in WAYS.values():
        for speeds in by_family.values():
            yield speeds[-1]


def _panel(axes: Axes, evidence: Evidence, by_family: ByFamily, quantity: Quantity) -> None:
    lowest: list[float] = []
    shown: list[float] = []
    for name, speeds in by_family.items():
        points = dict(_points(evidence, speeds, quantity))
        if points:
            _draw_family(axes, name, speeds, points)
            shown += points.values()
        if TOKENS[-2] in points:
            lowest.append(points[TOKENS[-2]])
    axes.set_xscale("log")
    if shown:
        log_ticks(axes, "y", shown, always=True)
    if lowest:
        _draw_slopes(axes, 0.75 * min(lowest))
    axes.set_xticks(TOKENS, list(map("{:,.0f}".format, TOKENS)))
    axes.minorticks_off()
    axes.set_ylabel(axis_of(quantity), fontsize=8.5)
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    open_frame(axes)


def _points(
    evidence: Evidence, speeds: list[Speed], quantity: Quantity
) -> Iterator[tuple[float, float]]:
    """Yield tokens and values in the unit shown, if measured."""
    factor, _ = scale_of(quantity)
    for tokens, speed in zip(TOKENS, speeds, strict=True):
        value = evidence.median(speed, quantity.metric)
        if value:
            yield tokens, value * factor


def _draw_family(axes: Axes, name: str, speeds: list[Speed], points: dict[float, float]) -> None:
    """Draw the line of a family, labelled with its model if it is only one."""
    title, colour, marker = family(name)
    one_model = len(set(map(attrgetter("model"), speeds))) == 1
    axes.plot(
        list(points),
        list(points.values()),
        color=colour,
        marker=marker,
        markersize=5,
        linewidth=1.4,
        label=f"{title}, {speeds[0].model}" if one_model else title,
    )


def _draw_slopes(axes: Axes, start: float) -> None:
    """Draw what linear and quadratic growth would look like."""
    for slope, style in ((1, ":"), (2, "--")):
        ends = [start, start * (TOKENS[-1] / TOKENS[-2]) ** slope]
        axes.plot(TOKENS[-2:], ends, color="#999999", linestyle=style, linewidth=1.0)


figures.add(
    Figure(
        name="resolution",
        draw=resolution,
        of_studies=True,
        summary="latency and memory over tokens",
        needs="the study of them: study run resolution_cost",
    )
)
