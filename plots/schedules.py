"""The learning rate of every step of real training runs, one line per recipe."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import cycle

import matplotlib.figure
import numpy as np

from bench.analysis.accuracy_groups import Protocol, contestants_by_protocol, curves
from bench.analysis.rows import Summary
from bench.plugins import Figure, figures

from ._labels import place
from ._style import new_figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
POINTS = 2_000
"""Most points of a line: every step of a long training run would take minutes to draw."""


def schedules(summary: Summary) -> dict[str, matplotlib.figure.Figure]:
    """Draw one figure; none if nothing was trained."""
    first = _first_of_each(summary)
    if not first:
        return {}
    figure, axes = new_figure(
        "Learning rate",
        "as taken by a real training run, step by step; the same for all models of a recipe",
    )
    tops = []
    for (protocol, rates), colour in zip(first, cycle(COLOURS), strict=False):
        share = np.arange(len(rates)) / len(rates)
        thin = math.ceil(len(rates) / POINTS)
        axes.plot(share[::thin], rates[::thin], color=colour, linewidth=1.4)
        top = int(np.argmax(rates))
        tops.append((float(share[top]), float(rates[top]), str(protocol.recipe), colour))
    axes.set_xlabel("share of all steps")
    axes.set_ylabel("learning rate")
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    axes.margins(y=0.15)
    place(figure, axes, tops)
    return {"schedules": figure}


def _first_of_each(summary: Summary) -> list[tuple[Protocol, np.ndarray]]:
    """Return the rates of the first training run of every recipe, as tuned and equalised."""
    first: dict[tuple[str, ...], tuple[Protocol, np.ndarray]] = {}
    for protocol, rates in _runs(summary):
        key = (protocol.training, *protocol.adjustments)
        first.setdefault(key, (protocol, rates))
    return list(first.values())


def _runs(summary: Summary) -> Iterator[tuple[Protocol, np.ndarray]]:
    """Yield the rates of every training run."""
    for protocol, contestants in contestants_by_protocol(summary).items():
        for one in contestants:
            for _, arrays in curves(one):
                yield protocol, arrays["learning_rate"]


figures.add(
    Figure(
        name="schedules",
        draw=schedules,
        summary="the learning rate of every step, from real training runs",
        needs="training runs: run --data digits, or another data set",
    )
)
