"""All verdicts on one page."""

from __future__ import annotations

import textwrap

import matplotlib.figure
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bench.analysis.rows import Summary
from bench.claims.rules import Verdict
from bench.claims.verdicts import verdicts
from bench.plugins import Figure, figures
from bench.report.palette import OUTCOMES, ink_on
from bench.report.tables.verdicts import effect

TITLE = "What the records say about the claims"


def overview(summary: Summary) -> dict[str, matplotlib.figure.Figure]:
    """Draw one line per study and scale; nothing if no study was run."""
    found = verdicts(summary) if summary.studied else []
    if not found:
        return {}
    figure = matplotlib.figure.Figure(figsize=(11.0, 0.9 + 0.56 * len(found)), dpi=130)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, 11)
    axes.set_ylim(-len(found) - 0.5, 1.0)
    axes.text(0.15, 0.45, TITLE, fontsize=13, fontweight="bold", va="center")
    for place, verdict in enumerate(found):
        _line(axes, -place - 0.5, verdict)
    return {"verdicts": figure}


def _line(axes: Axes, y: float, verdict: Verdict) -> None:
    """Draw a question, its outcome in a coloured box, the scale and the leading effect."""
    axes.plot([0.1, 10.9], [y + 0.5, y + 0.5], color="#dddddd", linewidth=0.6)
    claims = "".join(map(" #{}".format, verdict.claims))
    question = "\n".join(textwrap.wrap(verdict.question + claims, 62))
    axes.text(0.15, y, question, fontsize=8, va="center")
    axes.text(
        4.75,
        y,
        verdict.outcome + (" *" if verdict.changed else ""),
        fontsize=8,
        color=ink_on(OUTCOMES[verdict.outcome]),
        va="center",
        ha="center",
        bbox={
            "boxstyle": "round,pad=0.35",
            "facecolor": OUTCOMES[verdict.outcome],
            "edgecolor": "none",
        },
    )
    scale = "\n".join(textwrap.wrap(verdict.scale, 22))
    axes.text(5.5, y, scale, fontsize=7.5, color="#444444", va="center")
    leading = verdict.leading
    what = textwrap.shorten(leading.what, 62, placeholder=" …") if leading else ""
    axes.text(7.05, y, f"{effect(leading)}\n{what}" if leading else "", fontsize=7.5, va="center")


figures.add(
    Figure(
        name="verdicts",
        draw=overview,
        of_studies=True,
        summary="all verdicts on one page",
        needs="what a study measures: study run NAME",
    )
)
