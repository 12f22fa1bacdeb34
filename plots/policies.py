"""The effect of each policy on each model: throughput over that of the plain policy, in panels."""

from __future__ import annotations

from operator import attrgetter

import matplotlib.figure
from matplotlib.axes import Axes

from bench.analysis.rows import Row, Summary
from bench.devices import kind_of
from bench.plugins import Figure, figures
from bench.report.palette import family, family_order
from bench.stats.intervals import Estimate
from bench.stats.paired import paired_ratio

from ._style import caption, empty_figure, ends_of, headline, open_frame, ratio_axis, ratio_mark

PANELS = 6
"""Most policies side by side; more would be too small to read."""
MODELS = 24
"""Most models in a figure."""

Ratios = dict[str, dict[str, Estimate]]
"""Ratios of throughputs, by policy and model."""


def policies(summary: Summary) -> dict[str, matplotlib.figure.Figure]:
    """Draw one figure per image size at which several policies were measured."""
    drawn = {}
    for size in summary.image_sizes:
        rows = list(filter(attrgetter("policy"), summary.at(size)))
        found = ratios(summary, rows)
        if found:
            families = dict(map(attrgetter("label", "family"), rows))
            drawn[f"policies_{size}"] = _figure(summary, found, families, size)
    return drawn


def ratios(summary: Summary, rows: list[Row]) -> Ratios:
    """Return throughput over the plain policy's, paired by round; handwritten policies with †."""
    plain = kind_of(summary.machine.kind).policy
    base = {row.model: row for row in rows if row.policy == plain}
    found: Ratios = {}
    for row in rows:
        quantity = row.quantity("throughput")
        other = base.get(row.model)
        if row.policy == plain or quantity is None or other is None:
            continue
        ratio = paired_ratio(row.fair[quantity], other.fair.get(quantity, {}))
        if ratio:
            policy = f"{row.policy} †" if row.handwritten else row.policy
            found.setdefault(policy, {})[row.label] = ratio
    return found


def _figure(
    summary: Summary, found: Ratios, families: dict[str, str], size: int
) -> matplotlib.figure.Figure:
    shown = sorted(found, key=lambda policy: (-len(found[policy]), policy))[:PANELS]
    measured = set().union(*(found[policy] for policy in shown))
    models = sorted(measured, key=lambda model: (family_order(families[model]), model))[:MODELS]
    figure = empty_figure(2.2 + 1.85 * len(shown), 2.1 + 0.3 * len(models))
    panels = figure.subplots(1, len(shown), sharey=True, sharex=True, squeeze=False)[0]
    ends = [1.0]
    for axes, policy in zip(panels, shown, strict=True):
        _panel(axes, found[policy], models, families)
        axes.set_title(policy.replace("+", "\n+ "), fontsize=8.5)
        ends += ends_of(found[policy].values())
    ratio_axis(panels[0], ends, most=4)
    panels[0].set_yticks(range(len(models)), models, fontsize=8)
    panels[0].set_ylim(len(models) - 0.4, -0.6)
    headline(figure, "The effect of each policy on each model")
    plain = kind_of(summary.machine.kind).policy
    caption(
        figure,
        f"throughput over {plain} eager, log scale, 95 % intervals; right of the line is faster · "
        f"{size} px, {summary.machine.hardware}",
    )
    return figure


def _panel(
    axes: Axes, found: dict[str, Estimate], models: list[str], families: dict[str, str]
) -> None:
    for place, model in enumerate(models):
        if model in found:
            _, colour, marker = family(families[model])
            ratio_mark(axes, found[model], place, colour, width=1.6, marker=marker, markersize=6)
    axes.axvline(1, color="#000000", linewidth=0.8)
    axes.tick_params(axis="x", labelsize=7.5)
    axes.grid(True, axis="x", color="#dddddd", linewidth=0.6)
    open_frame(axes)


figures.add(
    Figure(
        name="policies",
        draw=policies,
        of_studies=True,
        summary="the effect of each policy on each model's throughput",
        needs="throughput under several policies: run --policies best",
    )
)
