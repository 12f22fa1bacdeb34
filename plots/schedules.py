"""The learning rate of every step as real trainings took it, one line per recipe."""

from __future__ import annotations

import matplotlib.figure
import numpy as np

from bench.analysis.accuracy_groups import curves, trained_rows
from bench.analysis.rows import Summary
from bench.plugins import Figure, figures

from ._labels import place
from ._style import new_figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")


def schedules(summary: Summary) -> dict[str, matplotlib.figure.Figure]:
    """One figure; none where nothing was trained."""
    found: dict[str, np.ndarray] = {}
    for key, contestants in trained_rows(summary).items():
        for one in contestants:
            for _, arrays in curves(one):
                found.setdefault(
                    " ".join(part for part in key[2:] if part), arrays["learning_rate"]
                )
    if not found:
        return {}
    figure, axes = new_figure(
        "Learning rate",
        "as taken by a real training, step by step; all models of a recipe take the same",
    )
    tops = []
    for (name, rates), colour in zip(found.items(), COLOURS * len(found), strict=False):
        share = np.arange(len(rates)) / len(rates)
        axes.plot(share, rates, color=colour, linewidth=1.4)
        top = int(np.argmax(rates))
        tops.append(
            (
                float(share[top]),
                float(rates[top]),
                name.removeprefix("recipe ").partition(" ")[0],
                colour,
            )
        )
    axes.set_xlabel("share of all steps")
    axes.set_ylabel("learning rate")
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    axes.margins(y=0.15)
    figure.draw_without_rendering()
    place(figure, axes, tops, [])
    return {"schedules": figure}


figures.add(
    Figure(
        name="schedules",
        draw=schedules,
        summary="the learning rate of every step, from real trainings",
    )
)
