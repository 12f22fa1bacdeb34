"""Latency and memory over tokens, by growing images and by shrinking patches: how each family's cost scales."""

from __future__ import annotations

import matplotlib.figure
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bench.analysis.rows import Quantity, Summary
from bench.claims.evidence import Evidence, Speed
from bench.plugins import Figure, figures
from bench.report.columns import axis_of, scale_of
from bench.report.palette import family
from bench.studies.speed.resolution_cost import BY_IMAGE, BY_PATCH, PATCHES, SIZES, TOKENS

from ._style import log_ticks

WAYS = {
    "images of 112 to 896 pixels, patches of 16": {
        name: [Speed(model, size) for size in SIZES] for name, model in BY_IMAGE.items()
    },
    "patches of 32 to 4 pixels, images of 224": {
        name: [Speed(model.format(p)) for p in PATCHES] for name, model in BY_PATCH.items()
    },
}
QUANTITIES = (Quantity("latency", 1, "s", "lower"), Quantity("memory", 1, "B", "lower"))


def resolution(summary: Summary) -> dict[str, matplotlib.figure.Figure]:
    """Two by two panels; nothing where the study was not run."""
    evidence = Evidence(summary)
    if not any(
        evidence.median(one, "latency")
        for ways in WAYS.values()
        for speeds in ways.values()
        for one in speeds[-1:]
    ):
        return {}
    figure = matplotlib.figure.Figure(figsize=(9.0, 7.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2, sharex=True)
    for column, (way, by_family) in enumerate(WAYS.items()):
        for row, quantity in enumerate(QUANTITIES):
            _panel(panels[row][column], evidence, by_family, quantity)
        panels[0][column].set_title(way, fontsize=9, loc="left", color="#444444")
        panels[1][column].set_xlabel("tokens")
    figure.suptitle(
        "What finer grids cost (dotted: linear in tokens, dashed: quadratic)",
        fontsize=12,
        fontweight="bold",
        x=0.01,
        ha="left",
    )
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return {"resolution": figure}


def _panel(
    axes: Axes, evidence: Evidence, by_family: dict[str, list[Speed]], quantity: Quantity
) -> None:
    factor, _ = scale_of(quantity)
    lowest: list[float] = []
    shown: list[float] = []
    for name, speeds in by_family.items():
        values = [evidence.median(one, quantity.metric) for one in speeds]
        points = [
            (tokens, value * factor) for tokens, value in zip(TOKENS, values, strict=True) if value
        ]
        if points:
            title, colour, marker = family(name)
            one_model = len({one.model for one in speeds}) == 1
            label = f"{title}, {speeds[0].model}" if one_model else title
            axes.plot(
                *zip(*points, strict=True),
                color=colour,
                marker=marker,
                markersize=5,
                linewidth=1.4,
                label=label,
            )
            shown += [value for _, value in points]
            lowest += [value for tokens, value in points if tokens == TOKENS[-2]]
    axes.set_xscale("log")
    if shown:
        log_ticks(axes, "y", shown, always=True)
    if lowest:
        start = 0.75 * min(lowest)
        for slope, style in ((1, ":"), (2, "--")):
            ends = [start, start * (TOKENS[-1] / TOKENS[-2]) ** slope]
            axes.plot(TOKENS[-2:], ends, color="#999999", linestyle=style, linewidth=1.0)
    axes.set_xticks(TOKENS, [f"{one:,.0f}" for one in TOKENS])
    axes.minorticks_off()
    axes.set_ylabel(axis_of(quantity), fontsize=8.5)
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


figures.add(
    Figure(
        name="resolution",
        draw=resolution,
        of_studies=True,
        summary="latency and memory over tokens",
    )
)
