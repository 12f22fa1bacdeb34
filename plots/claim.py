"""One comparison under every condition: ratios with their intervals, sorted, and the line at 1."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from operator import attrgetter

import matplotlib.figure

from bench.claims.comparison import Answer
from bench.claims.conditions import Condition
from bench.plugins import Figure, claim_figures

from ._style import empty_figure, ends_of, headline, open_frame, ratio_axis, ratio_mark

COLOURS = {"holds": "#009E73", "fails": "#D55E00", "undecided": "#666666"}
MOST = 48
"""More lines than this cannot be read; the extremes and those around 1 are kept."""
LONGEST = 96
"""Most characters of a label."""
OBVIOUS = {
    "source", "machine", "execution", "layout", "precision", "policy", "data", "recipe", "torch",
}  # fmt: skip
"""Factors whose values need no name next to them."""


def draw(found: Answer) -> matplotlib.figure.Figure:
    """Draw one line per condition: measured ones filled, published ones hollow."""
    shown = _kept(found.conditions)
    common = _common(shown)
    figure = empty_figure(9.5, 1.9 + 0.2 * len(shown))
    axes = figure.add_subplot()
    for place, one in enumerate(shown):
        colour = COLOURS[one.outcome]
        face = "white" if one.published else colour
        ratio_mark(
            axes,
            one.ratio,
            place,
            colour,
            width=1.4,
            marker="o",
            markersize=5,
            markerfacecolor=face,
        )
    axes.axvline(1, color="#000000", linewidth=0.9)
    axes.set_yticks(range(len(shown)), list(map(partial(_label, common), shown)), fontsize=6.5)
    axes.set_ylim(-0.8, len(shown) - 0.2)
    ratio_axis(axes, [*ends_of(map(attrgetter("ratio"), shown)), 1.0])
    axes.set_xlabel(f"how many times better {found.left} is than {found.right} ({found.on})")
    open_frame(axes)
    axes.grid(True, axis="x", color="#dddddd", linewidth=0.6)
    headline(figure, f"{found.left} > {found.right} on {found.on}: {found.verdict}")
    lines = "\n".join(_subtitle(found, len(shown), common))
    axes.set_title(lines, fontsize=8, color="#444444", loc="left")
    return figure


def _subtitle(found: Answer, shown: int, common: dict[str, str]) -> Iterator[str]:
    """Yield the counts of outcomes, and the factors that all conditions share."""
    left_out = len(found.conditions) - shown
    more = f" · {left_out} conditions in between are not drawn" if left_out else ""
    yield f"{outcomes(found)} · filled: measured, hollow: published{more}"
    if common:
        yield f"everywhere: {', '.join(map(' '.join, common.items()))}"


def outcomes(found: Answer) -> str:
    """Return in how many conditions a claim holds, fails and is undecided."""
    return (
        f"holds in {found.count('holds')}, fails in {found.count('fails')}, "
        f"undecided in {found.count('undecided')}"
    )


def _kept(conditions: list[Condition]) -> list[Condition]:
    """Return the conditions to draw: both ends, and those nearest to 1."""
    if len(conditions) <= MOST:
        return conditions
    by_nearness = sorted(conditions, key=lambda one: abs(math.log(one.ratio.value)))
    extremes = (*conditions[: MOST // 4], *conditions[-MOST // 4 :])
    kept = set(map(id, (*extremes, *by_nearness[: MOST // 2])))
    return [one for one in conditions if id(one) in kept]


def _common(conditions: list[Condition]) -> dict[str, str]:
    """Return the factors that all conditions share, which no label has to repeat."""
    common = {}
    for name, value in conditions[0].factors.items():
        if value and all(one.factors.get(name) == value for one in conditions):
            common[name] = value
    return common


def _label(common: dict[str, str], one: Condition) -> str:
    parts = []
    for name, value in one.factors.items():
        if value and name not in common:
            named = value if name in OBVIOUS else f"{name.removeprefix('weights of ')} {value}"
            parts.append(named)
    text = ", ".join(parts)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


claim_figures.add(
    Figure(
        name="conditions",
        draw=draw,
        summary="a claim under every condition: ratios with their intervals, sorted",
    )
)
