"""One comparison under every condition: ratios with their intervals, sorted, and the line at 1."""

from __future__ import annotations

import math

import matplotlib.figure
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bench.claims.comparison import Answer
from bench.claims.conditions import Condition
from bench.plugins import Figure, claim_figures

from ._style import ratio_axis

COLOURS = {"holds": "#009E73", "fails": "#D55E00", "undecided": "#666666"}
MOST = 48
"""More lines than this cannot be read; the extremes and those around 1 are kept."""


def draw(found: Answer) -> matplotlib.figure.Figure:
    """Measured conditions are filled, published ones hollow."""
    shown = _kept(found.conditions)
    figure = matplotlib.figure.Figure(
        figsize=(9.5, 1.9 + 0.2 * len(shown)), dpi=150, layout="constrained"
    )
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    common = _common(shown)
    for place, one in enumerate(shown):
        colour, ratio = COLOURS[one.outcome], one.ratio
        if ratio.low is not None and ratio.high is not None:
            axes.plot(
                [ratio.low, ratio.high],
                [place, place],
                color=colour,
                linewidth=1.4,
                solid_capstyle="butt",
            )
        face = "white" if one.published else colour
        axes.plot(
            [ratio.value],
            [place],
            marker="o",
            markersize=5,
            color=colour,
            markerfacecolor=face,
            linestyle="none",
        )
    axes.axvline(1, color="#000000", linewidth=0.9)
    axes.set_yticks(range(len(shown)), [_label(one, common) for one in shown], fontsize=6.5)
    axes.set_ylim(-0.8, len(shown) - 0.2)
    ratio_axis(
        axes,
        [
            bound
            for one in shown
            for bound in (one.ratio.low or one.ratio.value, one.ratio.high or one.ratio.value, 1.0)
        ],
    )
    axes.set_xlabel(f"how many times better {found.left} is than {found.right} ({found.on})")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, axis="x", color="#dddddd", linewidth=0.6)
    counts = ", ".join(
        f"{outcome} in {found.count(outcome)}" for outcome in ("holds", "fails", "undecided")
    )
    shared = ", ".join(f"{name} {value}" for name, value in common.items())
    figure.suptitle(
        f"{found.left} > {found.right} on {found.on}: {found.verdict}",
        fontsize=12,
        fontweight="bold",
        x=0.01,
        ha="left",
    )
    left_out = (
        f" · {len(found.conditions) - len(shown)} conditions in between are not drawn"
        if len(shown) < len(found.conditions)
        else ""
    )
    lines = [
        f"{counts} · filled: measured, hollow: published{left_out}",
        f"everywhere: {shared}" if shared else "",
    ]
    axes.set_title(
        "\n".join(line for line in lines if line), fontsize=8, color="#444444", loc="left"
    )
    return figure


def _kept(conditions: list[Condition]) -> list[Condition]:
    if len(conditions) <= MOST:
        return conditions
    by_nearness = sorted(conditions, key=lambda one: abs(math.log(one.ratio.value)))
    kept = {
        id(one)
        for one in (*conditions[: MOST // 4], *conditions[-MOST // 4 :], *by_nearness[: MOST // 2])
    }
    return [one for one in conditions if id(one) in kept]


def _common(conditions: list[Condition]) -> dict[str, str]:
    """Factors that are the same everywhere need not stand in every line."""
    first = conditions[0].factors
    return {
        name: value
        for name, value in first.items()
        if value and all(one.factors.get(name) == value for one in conditions)
    }


def _label(one: Condition, common: dict[str, str]) -> str:
    text = ", ".join(
        _short(name, value) for name, value in one.factors.items() if value and name not in common
    )
    return text if len(text) <= 96 else text[:95] + "…"


def _short(name: str, value: str) -> str:
    if name in (
        "source",
        "machine",
        "execution",
        "layout",
        "precision",
        "policy",
        "data",
        "recipe",
        "torch",
    ):
        return value
    return f"{name.removeprefix('weights of ')} {value}"


claim_figures.add(
    Figure(
        name="conditions",
        draw=draw,
        summary="a claim under every condition: ratios with their intervals, sorted",
    )
)
