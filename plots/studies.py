"""One figure per study: every effect with its interval, the claim's region, and the outcome."""

from __future__ import annotations

import textwrap

import matplotlib.figure
from matplotlib.axes import Axes

from bench.analysis.groups import grouped
from bench.analysis.rows import Summary
from bench.claims.rules import Judged, Verdict
from bench.claims.verdicts import verdicts
from bench.plugins import Figure, figures
from bench.report.figures import study_name
from bench.report.palette import OUTCOMES

from ._effects import shade_region, show_all
from ._style import (
    PUBLISHED,
    caption,
    empty_figure,
    headline,
    open_frame,
    published_mark,
    ratio_mark,
    units_axis,
)


def studies(summary: Summary) -> dict[str, matplotlib.figure.Figure]:
    """Draw one figure per study and scale of which anything was measured."""
    drawn: dict[str, matplotlib.figure.Figure] = {}
    for verdict in verdicts(summary) if summary.studied else []:
        shown = [one for one in verdict.findings if one.finding.shown is not None]
        if shown:
            drawn[study_name(verdict)] = _figure(verdict, shown)
    return drawn


def _figure(verdict: Verdict, shown: list[Judged]) -> matplotlib.figure.Figure:
    """Draw one panel per unit, with the deciding effects filled."""
    groups = list(grouped(shown, lambda one: one.finding.unit).values())
    heights = [0.55 + 0.36 * len(group) for group in groups]
    figure = empty_figure(9.0, 1.35 + sum(heights) + 0.35 * len(groups))
    panels = figure.subplots(len(groups), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axes, group in zip(panels, groups, strict=True):
        _panel(axes, group, verdict)
    headline(figure, "\n".join(textwrap.wrap(verdict.question, 92)))
    has_published = any(one.finding.published for one in shown)
    changed = " · the study was changed after some of its data" if verdict.changed else ""
    caption(
        figure,
        f"{verdict.outcome} · {verdict.scale}{changed} · shaded: the claim's region; "
        f"filled: decides, hollow: does not decide{PUBLISHED if has_published else ''}",
    )
    return figure


def _panel(axes: Axes, group: list[Judged], verdict: Verdict) -> None:
    ratios = group[0].finding.unit == "×"
    names = []
    for place, one in enumerate(reversed(group)):
        _draw_effect(axes, one, place, verdict)
        names.append("\n".join(textwrap.wrap(one.finding.what, 54)))
    axes.set_yticks(range(len(group)), names, fontsize=7.5)
    axes.set_ylim(-0.6, len(group) - 0.4)
    show_all(axes, [one.finding for one in group])
    axes.axvline(1 if ratios else 0, color="#000000", linewidth=0.7)
    axes.set_xlabel(units_axis(group[0].finding.unit), fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    open_frame(axes)


def _draw_effect(axes: Axes, one: Judged, place: int, verdict: Verdict) -> None:
    """Draw one effect over its region."""
    finding = one.finding
    shown = finding.shown
    assert shown is not None
    shade_region(axes, finding, place, 0.38)
    shade = OUTCOMES[verdict.outcome if verdict.outcome == "pipeline check" else one.outcome]
    face = shade if finding.primary else "white"
    ratio_mark(axes, shown, place, shade, width=1.8, marker="o", markerfacecolor=face, markersize=6)
    published_mark(axes, finding, place)


figures.add(
    Figure(
        name="studies",
        draw=studies,
        of_studies=True,
        summary="one per study: its effects, their intervals and its claim",
        stem="study",
        needs="what a study measures: study run NAME",
    )
)
