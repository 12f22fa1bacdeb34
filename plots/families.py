"""Accuracy against cost of the four families at equal parameters, at every scale of the studies.

The accuracies are those that studies trained: `bench study run family_ranking`. Costs are of the
same models at the same image size, measured by `bench run` into the same folder. The digits are
left out, since they say nothing about architectures.
"""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure

from bench.analysis.accuracy_groups import Contestant, contestants_by_protocol
from bench.analysis.rows import Summary
from bench.claims.scales import Scale, scales_of
from bench.plugins import Figure as FigureEntry
from bench.plugins import figures
from bench.plugins.recipe import recipes
from bench.report.columns import COLUMNS, TRAINING_TIME

from ._pareto import measured, seeds


def draw(summary: Summary) -> dict[str, Figure]:
    """Draw one figure per scale, recipe and cost; nothing of fewer than two families."""
    drawn: dict[str, Figure] = {}
    for scale, label, contestants in _families(summary):
        about = f"top-1 on {scale.title}, measured (filled), recipe {label}, {seeds(contestants)}"
        for metric, shown in COLUMNS.items():
            if not shown.pareto or metric == TRAINING_TIME.metric:
                continue
            figure = measured(summary, metric, contestants, about)
            if figure is not None:
                usual = scale.recipes[label] == scale.recipe
                stem = f"families_{metric}_{scale.key}"
                drawn[stem if usual else f"{stem}_{label}"] = figure
    return drawn


def _families(summary: Summary) -> Iterator[tuple[Scale, str, list[Contestant]]]:
    """Yield the contestants of every scale and recipe that at least two families were trained at.

    Protocols of a study's own, such as a share of the data, are left out.
    """
    for protocol, contestants in contestants_by_protocol(summary).items():
        if protocol.adjustments or protocol.labels:
            continue
        for scale in scales_of(protocol.data):
            for label, recipe in scale.recipes.items():
                if not scale.decisive or recipes.get(recipe).hash != protocol.recipe_hash:
                    continue
                family = set(scale.family.values())
                mine = [one for one in contestants if one.first.model in family]
                if len(mine) > 1:
                    yield scale, label, mine


figures.add(
    FigureEntry(
        name="families",
        draw=draw,
        of_studies=True,
        summary="top-1 against every cost, of the families at equal parameters",
        needs="the families trained at equal parameters: study run family_ranking",
    )
)
