"""All verdicts on one page."""

from __future__ import annotations

import textwrap

import matplotlib.figure
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bench.analysis.rows import Summary
from bench.claims.rules import Verdict
from bench.claims.verdicts import verdicts
from bench.plugins import Figure, figures
from bench.report.palette import OUTCOMES
from bench.report.tables.verdicts import effect


def overview(summary: Summary) -> dict[str, matplotlib.figure.Figure]:
    """One line per study and scale; nothing where no study was run."""
    found = verdicts(summary) if summary.studied else []
    if not found:
        return {}
    figure = matplotlib.figure.Figure(figsize=(11.0, 0.9 + 0.56 * len(found)), dpi=130)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, 11)
    axes.set_ylim(-len(found) - 0.5, 1.0)
    axes.text(
        0.15,
        0.45,
        "What the records say of the claims",
        fontsize=13,
        fontweight="bold",
        va="center",
    )
    for place, one in enumerate(found):
        _line(axes, -place - 0.5, one)
    return {"verdicts": figure}


def _line(axes: matplotlib.axes.Axes, y: float, one: Verdict) -> None:
    axes.plot([0.1, 10.9], [y + 0.5, y + 0.5], color="#dddddd", linewidth=0.6)
    claims = "".join(f" #{claim}" for claim in one.claims)
    axes.text(0.15, y, "\n".join(textwrap.wrap(one.question + claims, 62)), fontsize=8, va="center")
    box = {"boxstyle": "round,pad=0.35", "facecolor": OUTCOMES[one.outcome], "edgecolor": "none"}
    ink = "#000000" if one.outcome == "not measured" else "#ffffff"
    axes.text(
        4.75,
        y,
        one.outcome + (" *" if one.changed else ""),
        fontsize=8,
        color=ink,
        va="center",
        ha="center",
        bbox=box,
    )
    axes.text(
        5.5, y, "\n".join(textwrap.wrap(one.scale, 22)), fontsize=7.5, color="#444444", va="center"
    )
    leading = one.leading
    text = (
        f"{effect(leading)}\n{textwrap.shorten(leading.what, 62, placeholder=' …')}"
        if leading
        else ""
    )
    axes.text(7.05, y, text, fontsize=7.5, va="center")


figures.add(
    Figure(name="verdicts", draw=overview, of_studies=True, summary="all verdicts on one page")
)
