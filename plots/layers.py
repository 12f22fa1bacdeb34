"""Where a model's multiply-adds and its time go, layer by layer in the order of execution."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import matplotlib.figure
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from bench.analysis.groups import grouped
from bench.analysis.rows import Row, Summary
from bench.plugins import Figure, figures
from bench.report.palette import family_order

from ._style import empty_figure, headline, open_frame

KINDS = {
    "convolution": "#0072B2",
    "depthwise convolution": "#D55E00",
    "pointwise convolution": "#56B4E9",
    "linear": "#009E73",
    "attention": "#CC79A7",
    "normalisation": "#F0E442",
    "activation": "#E69F00",
    "pooling": "#000000",
    "rest": "#999999",
}
"""Colours by kind of layer."""
HATCHES = {
    "depthwise convolution": "///",
    "attention": "xxx",
    "normalisation": "...",
    "activation": "\\\\\\",
}
"""Hatches of kinds whose colours look alike in grey print."""
MODELS = 12
"""Most models in a figure."""
THINNEST = 0.5
"""Width in percent up to which a layer has no edge, which would hide it."""


@dataclass(frozen=True)
class Segment:
    """One layer, or several of a kind in a row."""

    kind: str
    seconds: float
    macs: float


def layers(summary: Summary) -> dict[str, matplotlib.figure.Figure]:
    """Draw one figure per image size and policy with timed layers (`--metrics layer_time`)."""
    drawn = {}
    groups = grouped(filter(segments, summary.rows), attrgetter("image_size", "policy"))
    for (size, policy), rows in groups.items():
        rows.sort(key=lambda row: (family_order(row.family), row.model))
        where = f"{policy}, {size} px on {summary.machine.hardware}"
        drawn[f"layers_{size}_{policy}"] = _figure(rows[:MODELS], where)
    return drawn


def segments(row: Row) -> list[Segment]:
    """Return the layers in order, each with the median of its seconds over rounds."""
    windows = [layers for _, _, layers in row.layer_windows()]
    if not windows:
        return []
    taken: dict[str, list[float]] = {}
    for layers in windows:
        for layer in layers:
            taken.setdefault(layer.path, []).append(layer.seconds)
    found = []
    for layer in windows[0]:
        found.append(Segment(layer.kind, statistics.median(taken[layer.path]), layer.macs))
    return found


def _figure(rows: list[Row], where: str) -> matplotlib.figure.Figure:
    figure = empty_figure(9.0, 1.7 + 0.62 * len(rows))
    axes = figure.add_subplot()
    labels: list[str] = []
    ticks: list[float] = []
    seen: set[str] = set()
    for place, row in enumerate(rows):
        found = segments(row)
        kinds = [one.kind for one in found]
        macs, seconds = [one.macs for one in found], [one.seconds for one in found]
        seen |= _draw_bar(axes, place - 0.2, kinds, macs)
        seen |= _draw_bar(axes, place + 0.2, kinds, seconds)
        ticks += [place - 0.2, place + 0.2]
        labels += [f"{row.label}  {sum(macs) / 1e9:.3g} GMACs", f"{sum(seconds) * 1e3:.3g} ms"]
    axes.set_yticks(ticks, labels, fontsize=7.5)
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.set_xlim(0, 100)
    axes.set_xlabel(
        "% of the whole, layers from left to right in the order of execution", fontsize=8.5
    )
    open_frame(axes)
    headline(figure, "Where multiply-adds and time go, layer by layer")
    axes.set_title(
        "upper bar: MACs, lower bar: time at batch 1, waiting for the device after every layer · "
        f"{where}",
        fontsize=8,
        color="#444444",
        loc="left",
    )
    patches = [Patch(label=kind, **_look(kind)) for kind in KINDS if kind in seen]
    figure.legend(handles=patches, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def _look(kind: str) -> dict[str, Any]:
    return {"facecolor": KINDS[kind], "hatch": HATCHES.get(kind), "edgecolor": "white"}


def _draw_bar(axes: Axes, centre: float, kinds: Sequence[str], values: Sequence[float]) -> set[str]:
    """Draw the shares of layers as one bar, and return the kinds in it."""
    spans: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    left, total = 0.0, sum(values) or 1.0
    for kind, value in zip(kinds, values, strict=True):
        if value > 0:
            width = 100 * value / total
            spans.setdefault((kind, width > THINNEST), []).append((left, width))
            left += width
    # One artist per kind, since a bar for each layer would take seconds.
    for (kind, edged), found in spans.items():
        edge = 0.25 if edged else 0.0
        axes.broken_barh(found, (centre - 0.18, 0.36), linewidth=edge, **_look(kind))
    return {kind for kind, _ in spans}


figures.add(
    Figure(
        name="layers",
        draw=layers,
        summary="where MACs and time go, layer by layer (--metrics layer_time)",
        needs="the time of each layer: run --metrics layer_time",
    )
)
