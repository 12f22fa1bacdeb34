"""What each way of executing does to each model: throughput over that of the plain policy, one panel per policy."""

from __future__ import annotations

import matplotlib.figure
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bench.analysis.rows import Row, Summary
from bench.config import DEFAULT_POLICY
from bench.plugins import Figure, figures
from bench.report.palette import family, family_order
from bench.stats.intervals import Estimate
from bench.stats.paired import paired_ratio

from ._style import ratio_axis

PANELS = 6
"""Policies side by side; more would not be read."""
MODELS = 24

Ratios = dict[str, dict[str, Estimate]]


def policies(summary: Summary) -> dict[str, matplotlib.figure.Figure]:
    """One figure per image size at which several policies were measured."""
    drawn = {}
    for size in sorted({row.image_size for row in summary.rows}, reverse=True):
        rows = [row for row in summary.rows if row.image_size == size and row.policy]
        found = ratios(summary, rows)
        if found:
            drawn[f"policies_{size}"] = _figure(
                summary, found, {row.model: row.about.family for row in rows}, size
            )
    return drawn


def ratios(summary: Summary, rows: list[Row]) -> Ratios:
    """By policy (handwritten ones marked †) and model: throughput over the plain policy's, paired by round."""
    plain = DEFAULT_POLICY[summary.machine.kind]
    base = {row.model: row for row in rows if row.policy == plain}
    found: Ratios = {}
    for row in rows:
        quantity = row.quantity("throughput")
        other = base.get(row.model)
        if row.policy == plain or quantity is None or other is None:
            continue
        if ratio := paired_ratio(row.fair[quantity], other.fair.get(quantity, {})):
            found.setdefault(row.policy + (" †" if row.handwritten else ""), {})[row.model] = ratio
    return found


def _figure(
    summary: Summary, found: Ratios, families: dict[str, str], size: int
) -> matplotlib.figure.Figure:
    shown = sorted(found, key=lambda policy: (-len(found[policy]), policy))[:PANELS]
    models = sorted(
        {model for policy in shown for model in found[policy]},
        key=lambda model: (family_order(families[model]), model),
    )
    models = models[:MODELS]
    figure = matplotlib.figure.Figure(
        figsize=(2.2 + 1.85 * len(shown), 2.1 + 0.3 * len(models)), dpi=150, layout="constrained"
    )
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(shown), sharey=True, sharex=True, squeeze=False)[0]
    for axes, policy in zip(panels, shown, strict=True):
        _panel(axes, found[policy], models, families)
        axes.set_title(policy.replace("+", "\n+ "), fontsize=8.5)
    ends = [
        end
        for policy in shown
        for one in found[policy].values()
        for end in (one.low or one.value, one.high or one.value)
    ]
    ratio_axis(panels[0], [*ends, 1.0], most=4)
    panels[0].set_yticks(range(len(models)), models, fontsize=8)
    panels[0].set_ylim(len(models) - 0.4, -0.6)
    plain = DEFAULT_POLICY[summary.machine.kind]
    machine = summary.machine.hardware
    figure.suptitle(
        "What each policy does to each model", fontsize=12, fontweight="bold", x=0.01, ha="left"
    )
    figure.supxlabel(
        f"throughput over {plain} eager, log scale, 95 % intervals; right of the line is faster · {size} px, {machine}",
        fontsize=8,
    )
    return figure


def _panel(
    axes: Axes, found: dict[str, Estimate], models: list[str], families: dict[str, str]
) -> None:
    for place, model in enumerate(models):
        if model not in found:
            continue
        _, colour, marker = family(families[model])
        ratio = found[model]
        if ratio.low is not None and ratio.high is not None:
            axes.plot(
                [ratio.low, ratio.high],
                [place, place],
                color=colour,
                linewidth=1.6,
                solid_capstyle="butt",
            )
        axes.plot(
            [ratio.value], [place], marker=marker, color=colour, markersize=6, linestyle="none"
        )
    axes.axvline(1, color="#000000", linewidth=0.8)
    axes.tick_params(axis="x", labelsize=7.5)
    axes.grid(True, axis="x", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


figures.add(
    Figure(
        name="policies",
        draw=policies,
        of_studies=True,
        summary="what each policy does to each model's throughput",
    )
)
