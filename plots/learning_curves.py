"""Validation accuracy during training, over epochs, compute and time.

All curves are read within one schedule, so they do not compare budgets.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib.figure
import numpy as np

from bench.analysis.accuracy_groups import (
    Contestant,
    Protocol,
    contestants_by_protocol,
    curves,
    images_per_step,
)
from bench.analysis.rows import Accuracy, Summary
from bench.plugins import Figure, figures
from bench.report.palette import family

from ._style import new_figure

UNITS = {
    "epochs": "epochs",
    "macs": "training compute in TMACs (10¹² multiply-adds; a step counts as 3 forward passes)",
    "seconds": "training time in s, on this machine",
}
"""Labels of the x axes."""
LIMIT = "read within one schedule: a shorter training run would have another one"

Curves = list[tuple[Accuracy, dict[str, Any]]]
Trained = list[tuple[Contestant, Curves]]
"""Contestants with the curves of their seeds."""


def learning_curves(summary: Summary) -> dict[str, matplotlib.figure.Figure]:
    """Draw three figures per protocol: over epochs, multiply-adds and training time.

    Lines are means over seeds, bands their range.
    """
    drawn: dict[str, matplotlib.figure.Figure] = {}
    macs = dict(_macs(summary))
    for protocol, contestants in contestants_by_protocol(summary).items():
        pairs = ((one, curves(one)) for one in contestants)
        trained = [(one, found) for one, found in pairs if found]
        if not trained:
            continue
        name = _name(protocol)
        if f"curves_epochs_{name}" in drawn:  # another recipe of the same name
            name = f"{name}_{len(drawn)}"
        subtitle = f"{protocol.label} · mean over seeds, band: their range · {LIMIT}"
        for unit in UNITS:
            known = [pair for pair in trained if _is_known(unit, pair[0], macs)]
            if known:
                drawn[f"curves_{unit}_{name}"] = _figure(known, unit, subtitle, macs)
    return drawn


def _macs(summary: Summary) -> Iterator[tuple[str, float]]:
    """Yield every model whose multiply-adds were counted, with their number."""
    for row in summary.rows:
        macs = row.value("macs")
        if macs:
            yield row.model, macs.value


def _name(protocol: Protocol) -> str:
    """Return a file name's part for a protocol."""
    parts = (protocol.data, protocol.recipe, *protocol.adjustments)
    return "_".join(filter(None, parts))


def _is_known(unit: str, one: Contestant, macs: dict[str, float]) -> bool:
    """True if the x values of a contestant's curves are known."""
    if unit == "macs":
        return one.rows[0].model in macs
    return unit != "seconds" or one.detail("train_s") is not None


def _figure(
    trained: Trained, unit: str, subtitle: str, macs: dict[str, float]
) -> matplotlib.figure.Figure:
    figure, axes = new_figure("Validation accuracy during training", subtitle)
    for one, every in trained:
        found = _alike(every)
        _, colour, marker = family(one.rows[0].about.family)
        look: dict[str, Any] = {
            "color": colour,
            "marker": marker,
            "markersize": 3,
            "linewidth": 1.2,
        }
        xs = np.mean([_x(row, arrays, unit, macs) for row, arrays in found], axis=0)
        ys = np.array([arrays["select_top1"] for _, arrays in found]) * 100
        seeds = "" if len(found) == len(every) else f" ({len(found)} of {len(every)} seeds)"
        axes.plot(xs, ys.mean(axis=0), label=one.name + seeds, **look)
        axes.fill_between(xs, ys.min(axis=0), ys.max(axis=0), color=colour, alpha=0.15, linewidth=0)
    axes.set_xlabel(UNITS[unit])
    axes.set_ylabel("top-1 % on the validation split")
    axes.set_ylim(top=102)
    figure.legend(loc="outside lower center", ncols=min(4, len(trained)), frameon=False, fontsize=9)
    return figure


def _alike(found: Curves) -> Curves:
    """Return the curves that were evaluated at the steps of the first one; others have no mean."""
    steps = found[0][1]["select_step"]
    return [pair for pair in found if np.array_equal(pair[1]["select_step"], steps)]


def _x(row: Accuracy, arrays: dict[str, Any], unit: str, macs: dict[str, float]) -> Any:
    """Return the epochs, 10¹² multiply-adds or seconds at every evaluation."""
    if unit == "seconds":
        return arrays["select_seconds"]
    if unit == "macs":
        return arrays["select_step"] * (3e-12 * macs[row.model] * images_per_step(row))
    return arrays["select_step"] * (float(row.detail["epochs"]) / float(row.detail["steps"]))


figures.add(
    Figure(
        name="learning_curves",
        draw=learning_curves,
        summary="validation accuracy over epochs, compute and time",
        stem="curves",
        needs="training runs: run --data digits, or another data set",
    )
)
