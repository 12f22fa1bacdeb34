"""One comparison at a glance: a mark per condition, measured and published ones in a row each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib.figure

from bench.claims.comparison import Answer
from bench.claims.conditions import Condition
from bench.plugins import Figure, claim_figures

from ._style import empty_figure, ends_of, headline, open_frame, ratio_axis, ratio_mark
from .claim import COLOURS, outcomes

APART = 0.035
"""Marks closer than this, in natural logarithms over the width of the axis, are stacked."""
STEP = 0.3
"""Height of one mark over the other, where rows are 1 apart."""
ROWS = {False: "measured here", True: "published"}


def draw(found: Answer) -> matplotlib.figure.Figure:
    """Draw all conditions in two rows, with the range in the title."""
    ratios = [one.ratio for one in found.conditions]
    figure = empty_figure(9.5, 2.2)
    axes = figure.add_subplot()
    ends = [*ends_of(ratios), 1.0]
    apart = APART * math.log(max(ends) / min(ends))
    for place, published in enumerate(sorted(ROWS, reverse=True)):
        row = [one for one in found.conditions if one.published is published]
        for one, level in zip(row, _levels(row, apart), strict=True):
            colour = COLOURS[one.outcome]
            face = "white" if published else colour
            look = {"marker": "o", "markersize": 5, "markerfacecolor": face}
            ratio_mark(axes, one.ratio, place + STEP * level, colour, width=1.2, **look)
    axes.axvline(1, color="#000000", linewidth=0.9)
    axes.set_yticks(range(len(ROWS)), [ROWS[one] for one in sorted(ROWS, reverse=True)])
    axes.set_ylim(-0.4, 2.0)
    ratio_axis(axes, ends)
    axes.set_xlabel(f"{found.left} : {found.right}, how many times better ({found.on})", fontsize=9)
    open_frame(axes)
    axes.grid(True, axis="x", color="#dddddd", linewidth=0.6)
    headline(figure, _title(found))
    axes.set_title(_subtitle(found), fontsize=8, color="#444444", loc="left")
    return figure


def _title(found: Answer) -> str:
    low, high = (found.conditions[place].ratio.value for place in (0, -1))
    return f"{found.left} has {low:.2g} to {high:.2g} × the {found.on} of {found.right}"


def _subtitle(found: Answer) -> str:
    number = len(found.conditions)
    return f"{number} conditions: {outcomes(found)} (grey: no interval, or a run not trusted)"


def _levels(row: Sequence[Condition], apart: float) -> list[int]:
    """Return the height of each mark, so that no two cover each other; `row` is sorted."""
    ends: list[float] = []
    levels: list[int] = []
    for one in row:
        at = math.log(one.ratio.value)
        free = [level for level, end in enumerate(ends) if at - end >= apart]
        level = free[0] if free else len(ends)
        if level == len(ends):
            ends.append(at)
        ends[level] = at
        levels.append(level)
    return levels


claim_figures.add(
    Figure(
        name="strip",
        draw=draw,
        summary="a claim at a glance: a mark per condition, measured and published ones apart",
    )
)
