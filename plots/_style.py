"""Parts that figures share: axes, titles, legends, intervals."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from bench.claims.rules import Finding
from bench.report.palette import family
from bench.stats.intervals import Estimate


def log_ticks(
    axes: Axes,
    axis: Literal["x", "y"],
    values: list[float],
    *,
    base: int = 10,
    always: bool = False,
) -> None:
    """Make an axis logarithmic, with ticks in plain numbers.

    The axis stays linear if the values are within a factor of 4, unless `always`, or if one of them
    is not above 0, such as the parameters of a network without any.
    """
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
_STEPS = (0.1, 0.05, 0.02, 0.01, 0.005)
"""Steps of the finest grids of ticks around 1."""


def ratio_axis(axes: Axes, ends: Sequence[float], *, most: int = 9) -> None:
    """Make the x axis logarithmic around ratios, with at most `most` round ticks, written out."""
    low, high = min(ends), max(ends)
    room = max((high / low) ** 0.06, 1.01)
    low, high = low / room, high * room
    ticks = _round_ticks(low, high, most)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_xticks(ticks, list(map("{:g}".format, ticks)))
    axes.minorticks_off()


def _round_ticks(low: float, high: float, most: int) -> Sequence[float]:
    """Return the first grid with three to `most` ticks between two ratios, else the fullest."""
    fitting = []
    for grid in (_COARSE, _USUAL, _CLOSE, *map(_around_one, _STEPS)):
        ticks = [tick for tick in grid if low <= tick <= high]
        if 3 <= len(ticks) <= most:
            return ticks
        if len(ticks) <= most:
            fitting.append(ticks)
    return max(fitting, key=len, default=[1.0])


def _around_one(step: float) -> list[float]:
    """Return the ratios up to 40 steps from 1."""
    return [round(1 + step * number, 6) for number in range(-40, 41) if 1 + step * number > 0]


def new_figure(title: str, subtitle: str) -> tuple[Figure, Axes]:
    """Return a figure with one panel, its title, and a line of conditions under the title."""
    figure = empty_figure(7.2, 4.8)
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
    open_frame(axes)
    return figure, axes


def empty_figure(width: float, height: float) -> Figure:
    """Return a figure of a size in inches that arranges itself.

    Its canvas gives labels the same size on any machine, so that they can be placed by it.
    """
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def arrange(figure: Figure) -> None:
    """Let a figure arrange itself, once and for all: nothing moves any more.

    A legend outside its panel settles in the second pass only.
    """
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.draw_without_rendering()
        figure.set_layout_engine(None)


def open_frame(axes: Axes) -> None:
    """Remove the frame above and on the right."""
    axes.spines[["top", "right"]].set_visible(False)


CAPTION_CHARACTERS = 16
"""Characters of a caption in an inch."""


def headline(figure: Figure, text: str) -> None:
    """Write the title of a figure with several panels or a tall one."""
    figure.suptitle(text, fontsize=12, fontweight="bold", x=0.01, ha="left")


def caption(figure: Figure, text: str) -> None:
    """Write what a figure shows below it, in lines as wide as the figure."""
    width = int(CAPTION_CHARACTERS * figure.get_figwidth())
    lines = textwrap.fill(text, width)
    figure.supxlabel(lines, fontsize=8, color="#444444", x=0.01, ha="left")


AXES = {
    "×": "ratio",
    "points": "points of top-1",
    "rank correlation": "rank correlation (Kendall's tau)",
}
"""Labels of axes by unit, where the unit itself is not one."""


def units_axis(unit: str) -> str:
    """Return the label of an axis for effects of a unit."""
    return AXES.get(unit, unit)


def interval_bar(axes: Axes, x: float, value: Estimate | None, colour: str) -> None:
    """Draw the interval of an estimate as a vertical line, if it has one."""
    if value and value.low is not None and value.high is not None:
        axes.vlines(x, value.low, value.high, color=colour, linewidth=1)


def ratio_mark(
    axes: Axes, ratio: Estimate, place: float, colour: str, *, width: float, **marker: Any
) -> None:
    """Draw a ratio at a height: its value as a marker, its interval, if it has one, as a line."""
    if ratio.low is not None and ratio.high is not None:
        ends = [ratio.low, ratio.high]
        axes.plot(ends, [place, place], color=colour, linewidth=width, solid_capstyle="butt")
    axes.plot([ratio.value], [place], color=colour, linestyle="none", **marker)


PUBLISHED = ", diamond: published by others"
"""The end of a line that explains the marks of a figure."""


def published_mark(axes: Axes, finding: Finding, place: float) -> None:
    """Draw what others published for an effect as a hollow diamond, if anything."""
    if finding.published is not None:
        axes.plot(
            [finding.published.value],
            [place],
            marker="D",
            markersize=6.5,
            markerfacecolor="none",
            markeredgecolor="#000000",
            linestyle="none",
        )


def ends_of(ratios: Iterable[Estimate]) -> list[float]:
    """Return both ends of every interval; of an estimate without one, twice its value."""
    ends: list[float] = []
    for ratio in ratios:
        ends += [ratio.low or ratio.value, ratio.high or ratio.value]
    return ends


def family_legend(figure: Figure, axes: Axes, names: Iterable[str], **look: Any) -> None:
    """Add families to the legend under the panel, where no point can be."""
    for name in dict.fromkeys(names):
        label, colour, marker = family(name)
        axes.plot([], [], marker=marker, color=colour, ls="none", label=label, **look)
    legend_below(figure)


def legend_below(figure: Figure) -> None:
    """Put the legend of a figure under its panel."""
    figure.legend(loc="outside lower center", ncols=6, fontsize=8, frameon=False)
