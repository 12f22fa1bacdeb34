"""Looks that all figures share: a family has one colour and one marker everywhere."""

from __future__ import annotations

import textwrap
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

# Okabe and Ito's palette, which stays distinct in the common colour blindnesses; markers repeat it for print.
FAMILIES = {
    "convmixer": ("ConvMixer", "#D55E00", "o"),
    "vit": ("ViT", "#0072B2", "s"),
    "mixer": ("MLP-Mixer", "#009E73", "^"),
    "resnet": ("ResNet", "#CC79A7", "D"),
    "user": ("your own", "#000000", "P"),
}
OTHER = ("other", "#666666", "X")


def family(name: str) -> tuple[str, str, str]:
    """Label, colour and marker of a family."""
    return FAMILIES.get(name, OTHER)


def family_order(name: str) -> int:
    """ConvMixer first, then those that it is compared with, then all others."""
    return list(FAMILIES).index(name) if name in FAMILIES else len(FAMILIES)


def log_ticks(axes: Axes, axis: Literal["x", "y"], values: list[float], *, base: int = 10) -> None:
    """A logarithmic axis with ticks as people write them; a plain one where the values lie close together."""
    if max(values) / min(values) < 4:
        return
    (axes.set_xscale if axis == "x" else axes.set_yscale)("log", base=base)
    of = axes.xaxis if axis == "x" else axes.yaxis
    of.set_major_locator(LogLocator(base=base, subs=(1.0, 2.0, 5.0) if base == 10 else (1.0,)))
    of.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    of.set_minor_locator(NullLocator())
    of.set_minor_formatter(NullFormatter())


def new_figure(title: str, subtitle: str) -> tuple[Figure, Axes]:
    """One panel with room for a title and a line of conditions under it."""
    figure = Figure(figsize=(7.2, 4.8), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)  # labels are placed by the size that this canvas gives them, on any machine
    axes = figure.add_subplot()
    lines = textwrap.wrap(subtitle, 112)
    axes.set_title(title + "\n" * len(lines), loc="left", fontsize=12, fontweight="bold")
    axes.text(0, 1.02, "\n".join(lines), transform=axes.transAxes, fontsize=8, color="#444444", va="bottom")
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
