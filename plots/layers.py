"""Where a model's multiply-adds and its time go, layer by layer in the order of execution."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

import matplotlib.figure
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Patch

from bench.analysis.rows import Row, Summary
from bench.plugins import Figure, figures
from bench.report.palette import family_order

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
HATCHES = {
    "depthwise convolution": "///",
    "attention": "xxx",
    "normalisation": "...",
    "activation": "\\\\\\",
}
"""The colours that grey print would confuse."""
MODELS = 12


@dataclass(frozen=True)
class Segment:
    """One layer, or several of a kind in a row."""

    kind: str
    seconds: float
    macs: float


def layers(summary: Summary) -> dict[str, matplotlib.figure.Figure]:
    """Per image size and policy, where layers were timed (`--metrics layer_time`)."""
    drawn = {}
    found = [row for row in summary.rows if segments(row)]
    for size, policy in dict.fromkeys((row.image_size, row.policy) for row in found):
        rows = sorted(
            (row for row in found if (row.image_size, row.policy) == (size, policy)),
            key=lambda row: (family_order(row.about.family), row.model),
        )
        drawn[f"layers_{size}_{policy}"] = _figure(summary, rows[:MODELS], size, policy)
    return drawn


def segments(row: Row) -> list[Segment]:
    """The layers in order, each with the median of its seconds over rounds."""
    details = [
        one
        for quantity, found in row.details.items()
        if quantity.metric == "layer_time"
        for one in found
        if one.get("layers")
    ]
    if not details:
        return []
    taken: dict[str, list[float]] = {}
    for one in details:
        for path, _, seconds, _ in one["layers"]:
            taken.setdefault(path, []).append(seconds)
    return [
        Segment(kind, statistics.median(taken[path]), macs)
        for path, kind, _, macs in details[0]["layers"]
    ]


def _figure(summary: Summary, rows: list[Row], size: int, policy: str) -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure(
        figsize=(9.0, 1.7 + 0.62 * len(rows)), dpi=150, layout="constrained"
    )
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    labels, ticks = [], []
    seen: set[str] = set()
    for place, row in enumerate(rows):
        found = segments(row)
        for offset, share in (
            (-0.2, [one.macs for one in found]),
            (0.2, [one.seconds for one in found]),
        ):
            bars: dict[tuple[str, bool], list[tuple[float, float]]] = {}
            left, total = 0.0, sum(share) or 1.0
            for one, value in zip(found, share, strict=True):
                if value > 0:
                    width = 100 * value / total
                    bars.setdefault((one.kind, width > 0.5), []).append((left, width))
                    left += width
            # One artist per kind: a bar each would take seconds. Thin layers would be hidden by an edge.
            for (kind, edged), spans in bars.items():
                look: dict[str, Any] = {
                    "facecolors": KINDS[kind],
                    "hatch": HATCHES.get(kind),
                    "edgecolor": "white",
                }
                axes.broken_barh(
                    spans, (place + offset - 0.18, 0.36), linewidth=0.25 if edged else 0.0, **look
                )
                seen.add(kind)
        seconds, macs = sum(one.seconds for one in found), sum(one.macs for one in found)
        ticks += [place - 0.2, place + 0.2]
        labels += [f"{row.model}  {macs / 1e9:.3g} GMACs", f"{seconds * 1e3:.3g} ms"]
    axes.set_yticks(ticks, labels, fontsize=7.5)
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.set_xlim(0, 100)
    axes.set_xlabel(
        "% of the whole, layers from left to right in the order of execution", fontsize=8.5
    )
    axes.spines[["top", "right"]].set_visible(False)
    machine = summary.machine.hardware
    figure.suptitle(
        "Where multiply-adds and time go, layer by layer",
        fontsize=12,
        fontweight="bold",
        x=0.01,
        ha="left",
    )
    axes.set_title(
        f"upper bar: MACs, lower bar: time at batch 1, the device waited for after every layer · {policy}, {size} px on {machine}",
        fontsize=8,
        color="#444444",
        loc="left",
    )
    patches = [
        Patch(facecolor=KINDS[kind], hatch=HATCHES.get(kind), edgecolor="white", label=kind)
        for kind in KINDS
        if kind in seen
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


figures.add(
    Figure(
        name="layers",
        draw=layers,
        summary="where MACs and time go, layer by layer (--metrics layer_time)",
    )
)
