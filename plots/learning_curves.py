"""Select accuracy while training, over epochs, compute and time: within one schedule, so no comparison across budgets."""

from __future__ import annotations

from typing import Any

import matplotlib.figure
import numpy as np

from bench.analysis.accuracy_groups import Contestant, curves, images_per_step, trained_rows
from bench.analysis.rows import Accuracy, Summary
from bench.plugins import Figure, figures
from bench.report.palette import family

from ._style import new_figure

UNITS = {
    "epochs": "epochs",
    "macs": "training compute in TMACs (10¹² multiply-adds, three forward passes a step)",
    "seconds": "training time in s, this machine",
}
LIMIT = "read within one schedule: a shorter training would have had another one"


def learning_curves(summary: Summary) -> dict[str, matplotlib.figure.Figure]:
    """Three figures per protocol: by epochs, by multiply-adds and by training time. Lines are means over seeds, bands their range."""
    drawn: dict[str, matplotlib.figure.Figure] = {}
    macs = {row.model: found.value for row in summary.rows if (found := row.value("macs"))}
    for key, contestants in trained_rows(summary).items():
        trained = [(one, curves(one)) for one in contestants]
        trained = [(one, found) for one, found in trained if found]
        if not trained:
            continue
        recipe = key[2].split(" ")[1]  # its name without its hash
        name = "_".join(part for part in (key[0], recipe, *key[3:]) if part)
        if f"curves_epochs_{name}" in drawn:  # a recipe of the same name that was another one
            name = f"{name}_{len(drawn)}"
        for unit, label in UNITS.items():
            known = [pair for pair in trained if unit != "macs" or pair[0].rows[0].model in macs]
            known = [
                pair for pair in known if unit != "seconds" or pair[0].detail("train_s") is not None
            ]
            if known:
                subtitle = f"{', '.join(part for part in key if part)} · mean over seeds, band: their range · {LIMIT}"
                drawn[f"curves_{unit}_{name}"] = _figure(known, unit, label, subtitle, macs)
    return drawn


def _figure(
    trained: list[tuple[Contestant, Any]],
    unit: str,
    label: str,
    subtitle: str,
    macs: dict[str, float],
) -> matplotlib.figure.Figure:
    figure, axes = new_figure("Select accuracy while training", subtitle)
    for one, found in trained:
        _, colour, marker = family(one.rows[0].about.family)
        xs = np.mean([_x(row, arrays, unit, macs) for row, arrays in found], axis=0)
        ys = np.array([arrays["select_top1"] for _, arrays in found]) * 100
        axes.plot(
            xs,
            ys.mean(axis=0),
            color=colour,
            marker=marker,
            markersize=3,
            linewidth=1.2,
            label=one.name,
        )
        axes.fill_between(xs, ys.min(axis=0), ys.max(axis=0), color=colour, alpha=0.15, linewidth=0)
    axes.set_xlabel(label)
    axes.set_ylabel("top-1 % on the select split")
    axes.set_ylim(top=102)
    figure.legend(loc="outside lower center", ncols=min(4, len(trained)), frameon=False, fontsize=9)
    return figure


def _x(row: Accuracy, arrays: dict[str, Any], unit: str, macs: dict[str, float]) -> Any:
    """Epochs, 10¹² multiply-adds or seconds of every look."""
    if unit == "seconds":
        return arrays["select_seconds"]
    if unit == "macs":
        return arrays["select_step"] * (3e-12 * macs[row.model] * images_per_step(row))
    return arrays["select_step"] * (float(row.detail["epochs"]) / float(row.detail["steps"]))


figures.add(
    Figure(
        name="learning_curves",
        draw=learning_curves,
        summary="select accuracy over epochs, compute and time",
    )
)
