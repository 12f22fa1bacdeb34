"""One figure per study: every effect with its interval, where the claim wants it, and what came out."""

from __future__ import annotations

import math
import textwrap

import matplotlib.figure
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bench.analysis.rows import Summary
from bench.claims.rules import Judged, Verdict
from bench.claims.verdicts import verdicts
from bench.plugins import Figure, figures
from bench.report.palette import OUTCOMES

from ._style import ratio_axis

AXES = {
    "×": "ratio",
    "points": "points of top-1",
    "exponent": "exponent",
    "share": "share",
}


def studies(summary: Summary) -> dict[str, matplotlib.figure.Figure]:
    """By study and scale, where anything was measured."""
    drawn: dict[str, matplotlib.figure.Figure] = {}
    for verdict in verdicts(summary) if summary.studied else []:
        shown = [one for one in verdict.findings if one.finding.shown is not None]
        if shown:
            drawn[f"study_{verdict.study}_{verdict.scale.partition(',')[0]}"] = _figure(
                verdict, shown
            )
    return drawn


def _figure(verdict: Verdict, shown: list[Judged]) -> matplotlib.figure.Figure:
    """One panel per unit, the deciding effects filled."""
    units = list(dict.fromkeys(one.finding.unit for one in shown))
    groups = [[one for one in shown if one.finding.unit == unit] for unit in units]
    heights = [0.55 + 0.36 * len(group) for group in groups]
    figure = matplotlib.figure.Figure(
        figsize=(9.0, 1.35 + sum(heights) + 0.35 * len(groups)), dpi=150, layout="constrained"
    )
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(groups), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axes, group in zip(panels, groups, strict=True):
        _panel(axes, group, verdict)
    changed = " · the study was changed after some of its data" if verdict.changed else ""
    figure.suptitle(
        "\n".join(textwrap.wrap(verdict.question, 92)),
        fontsize=12,
        fontweight="bold",
        x=0.01,
        ha="left",
    )
    caption = f"{verdict.outcome} · {verdict.scale}{changed} · shaded: where the claim wants it; filled: decides, hollow: stands beside it"
    figure.supxlabel(caption, fontsize=8, color="#444444", x=0.01, ha="left")
    return figure


def _panel(axes: Axes, group: list[Judged], verdict: Verdict) -> None:
    ratios = group[0].finding.unit == "×"
    for place, one in enumerate(reversed(group)):
        finding, found = one.finding, one.finding.shown
        assert found is not None
        shade = OUTCOMES[verdict.outcome if verdict.outcome == "pipeline check" else one.outcome]
        low, high = finding.region
        axes.fill_betweenx(
            [place - 0.38, place + 0.38],
            max(low, 1e-9 if ratios else -1e9),
            min(high, 1e9),
            color="#56B4E9",
            alpha=0.16,
            lw=0,
        )
        if found.low is not None and found.high is not None:
            axes.plot(
                [found.low, found.high],
                [place, place],
                color=shade,
                linewidth=1.8,
                solid_capstyle="butt",
            )
        face = shade if finding.primary else "white"
        axes.plot(
            [found.value],
            [place],
            marker="o",
            color=shade,
            markerfacecolor=face,
            markersize=6,
            linestyle="none",
        )
    axes.set_yticks(
        range(len(group)),
        ["\n".join(textwrap.wrap(one.finding.what, 54)) for one in reversed(group)],
        fontsize=7.5,
    )
    axes.set_ylim(-0.6, len(group) - 0.4)
    _limits(axes, group, ratios)
    axes.axvline(1 if ratios else 0, color="#000000", linewidth=0.7)
    axes.set_xlabel(AXES[group[0].finding.unit], fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _limits(axes: Axes, group: list[Judged], ratios: bool) -> None:
    """Every effect, the neutral value, and the ends of the regions that are near enough."""
    found = [one.finding.shown for one in group]
    ends = [
        end for one in found if one for end in (one.value, one.low, one.high) if end is not None
    ]
    ends += [
        end
        for one in group
        for end in one.finding.region
        if math.isfinite(end) and (end > 0 or not ratios)
    ] + [1.0 if ratios else 0.0]
    if not ratios:
        room = 0.06 * (max(ends) - min(ends) or 1.0)
        axes.set_xlim(min(ends) - room, max(ends) + room)
        return
    ratio_axis(axes, [max(end, 1e-4) for end in ends])


figures.add(
    Figure(
        name="studies",
        draw=studies,
        of_studies=True,
        summary="one per study: its effects, their intervals and its claim",
    )
)
