"""The findings in two figures: the leading effect of every claim, and published beside measured."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

import matplotlib.figure
from matplotlib.axes import Axes

from bench.analysis.groups import grouped
from bench.claims.answers import SETTLED, ClaimAnswer
from bench.claims.rules import Finding
from bench.plugins import Figure, finding_figures
from bench.report.findings.tables import compared
from bench.report.findings.words import where
from bench.report.palette import OUTCOMES
from bench.stats.formatting import interval

from ._effects import shade_region, show_all
from ._style import (
    caption,
    empty_figure,
    headline,
    open_frame,
    published_mark,
    ratio_mark,
    units_axis,
)

KEY = (
    "shaded: where the claim wants the effect; colour: green holds, orange does not hold, grey not "
    "known; diamond: published by others, not measured here"
)
LONGEST = 64
"""Most characters of a line of a label."""


@dataclass(frozen=True)
class EffectLine:
    """One effect of a figure: its label in lines, and whether its claim holds."""

    label: list[str]
    finding: Finding
    colour: str


def draw(found: list[ClaimAnswer]) -> dict[str, matplotlib.figure.Figure]:
    """Draw the leading effects, and those that others published too; nothing without any."""
    leading = [_leading(one) for one in found if one.leading is not None]
    beside = [_compared(one, finding) for one, finding in compared(found)]
    drawn = {}
    if leading:
        drawn["effects"] = _figure("The leading effect of every claim", leading)
    if beside:
        drawn["published"] = _figure("Published beside measured", beside)
    return drawn


def _leading(one: ClaimAnswer) -> EffectLine:
    """Return a claim with its leading effect, which has the colour of its verdict."""
    assert one.leading is not None and one.chosen is not None
    outcome = one.chosen.verdict.outcome
    colour = OUTCOMES[outcome if outcome in SETTLED else "inconclusive"]
    label = [one.headline, one.leading.what, where(one.chosen)]
    return EffectLine(label, one.leading, colour)


def _compared(one: ClaimAnswer, finding: Finding) -> EffectLine:
    """Return an effect that others published too, in the colour of its own outcome."""
    assert one.chosen is not None
    judged = one.chosen.verdict.findings
    [outcome] = [other.outcome for other in judged if other.finding is finding]
    withheld = outcome if outcome in SETTLED else "inconclusive"
    return EffectLine([finding.what, where(one.chosen)], finding, OUTCOMES[withheld])


def _figure(title: str, lines: Sequence[EffectLine]) -> matplotlib.figure.Figure:
    """Draw one panel per unit, with a line per effect."""
    panels = list(grouped(lines, attrgetter("finding.unit")).values())
    heights = [0.5 + sum(map(_height, panel)) for panel in panels]
    figure = empty_figure(10.5, 0.9 + sum(heights) + 0.35 * len(panels))
    all_axes = figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axes, panel in zip(all_axes, panels, strict=True):
        _panel(axes, panel)
    headline(figure, title)
    caption(figure, KEY)
    return figure


def _height(line: EffectLine) -> float:
    """Return the height of a line in inches."""
    return 0.14 + 0.145 * len(_label(line).splitlines())


def _label(line: EffectLine) -> str:
    wrapped: list[str] = []
    for part in line.label:
        wrapped += textwrap.wrap(part, LONGEST)
    return "\n".join(wrapped)


def _panel(axes: Axes, panel: Sequence[EffectLine]) -> None:
    """Draw effects of one unit under each other, the first on top, their values on the right."""
    unit, place, places = panel[0].finding.unit, 0.0, []
    for line in reversed(panel):
        height = _height(line)
        places.append(place + height / 2)
        _draw_effect(axes, line, places[-1], 0.42 * height)
        place += height
    axes.set_yticks(places, list(map(_label, reversed(panel))), fontsize=7.5)
    axes.set_ylim(0, place)
    show_all(axes, [line.finding for line in panel])
    axes.axvline(1 if unit == "×" else 0, color="#000000", linewidth=0.7)
    values = axes.secondary_yaxis("right")
    texts = [interval(line.finding.shown) for line in reversed(panel)]
    values.set_yticks(places, texts, fontsize=7.5)
    values.tick_params(length=0)
    values.spines["right"].set_visible(False)
    axes.set_xlabel(units_axis(unit), fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    open_frame(axes)


def _draw_effect(axes: Axes, line: EffectLine, place: float, half: float) -> None:
    """Draw an effect with its interval over the claim's region, and the published one."""
    finding = line.finding
    assert finding.shown is not None
    shade_region(axes, finding, place, half)
    ratio_mark(axes, finding.shown, place, line.colour, width=2.0, marker="o", markersize=6)
    published_mark(axes, finding, place)


finding_figures.add(
    Figure(
        name="answers",
        draw=draw,
        summary="the leading effect of every claim, and published effects beside measured ones",
    )
)
