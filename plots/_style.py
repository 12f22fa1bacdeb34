"""Axes that figures share: logarithmic ticks, axes of ratios, one panel with a title."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator


def log_ticks(
    axes: Axes,
    axis: Literal["x", "y"],
    values: list[float],
    *,
    base: int = 10,
    always: bool = False,
) -> None:
    """A logarithmic axis with ticks as people write them; a plain one where the values lie close together, unless `always`, or
    where one of them is no number above 0: a network without parameters has no place on a logarithmic axis."""
    if min(values) <= 0 or (max(values) / min(values) < 4 and not always):
        return
    (axes.set_xscale if axis == "x" else axes.set_yscale)("log", base=base)
    of = axes.xaxis if axis == "x" else axes.yaxis
    of.set_major_locator(LogLocator(base=base, subs=(1.0, 2.0, 5.0) if base == 10 else (1.0,)))
    of.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    of.set_minor_locator(NullLocator())
    of.set_minor_formatter(NullFormatter())


_COARSE = (0.001, 0.01, 0.1, 1, 10, 100, 1000)
_USUAL = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
_CLOSE = (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10)


def ratio_axis(axes: Axes, ends: Sequence[float], *, most: int = 9) -> None:
    """A logarithmic x axis around ratios, with at most so many round ticks, written out."""
    low, high = min(ends), max(ends)
    room = max((high / low) ** 0.06, 1.01)
    low, high = low / room, high * room
    fine = [
        tuple(round(1 + step * number, 6) for number in range(-40, 41) if 1 + step * number > 0)
        for step in (0.1, 0.05, 0.02, 0.01, 0.005)
    ]
    inside = [
        [tick for tick in ticks if low <= tick <= high]
        for ticks in (_COARSE, _USUAL, _CLOSE, *fine)
    ]
    fitting = [found for found in inside if len(found) <= most]
    ticks = next(
        (found for found in fitting if len(found) >= 3), max(fitting, key=len, default=[1.0])
    )
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()


def new_figure(title: str, subtitle: str) -> tuple[Figure, Axes]:
    """One panel with room for a title and a line of conditions under it."""
    figure = Figure(figsize=(7.2, 4.8), dpi=150, layout="constrained")
    FigureCanvasAgg(
        figure
    )  # labels are placed by the size that this canvas gives them, on any machine
    axes = figure.add_subplot()
    lines = textwrap.wrap(subtitle, 112)
    axes.set_title(title + "\n" * len(lines), loc="left", fontsize=12, fontweight="bold")
    axes.text(
        0,
        1.02,
        "\n".join(lines),
        transform=axes.transAxes,
        fontsize=8,
        color="#444444",
        va="bottom",
    )
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
