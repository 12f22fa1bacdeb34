"""Effective receptive fields before and after training: where the central output's gradient is."""

from __future__ import annotations

from typing import Any

import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from bench.analysis.rows import Accuracy, Summary
from bench.plugins import Figure, figures
from bench.record.arrays import read_arrays
from bench.report.palette import family, family_order, readable

from ._style import caption, empty_figure, headline

CAPTION = (
    "gradient of the central output, absolute, mean over 256 images; circle: radius of half its "
    "mass, and its share of an even field's; dashed: 90 %; * may be cut off by the canvas"
)


def receptive_fields(summary: Summary) -> dict[str, matplotlib.figure.Figure]:
    """Draw one figure per data set, with a column per model (its first seed)."""
    drawn: dict[str, matplotlib.figure.Figure] = {}
    by_data: dict[str, dict[str, Accuracy]] = {}
    for one in sorted(summary.accuracies, key=_order):
        if one.fields_file and "row" in one.fields.get(f"after_{one.arm.image_size}", {}):
            by_data.setdefault(one.arm.data, {}).setdefault(one.model, one)
    for data, models in by_data.items():
        name = data.partition(":")[0]
        drawn[f"receptive_fields_{name}"] = _figure(name, list(models.values()))
    return drawn


def _order(one: Accuracy) -> tuple[int, str, int]:
    """Return the sort key: by family, model and seed."""
    return family_order(one.about.family), one.model, one.arm.seed or 0


def _figure(data: str, rows: list[Accuracy]) -> matplotlib.figure.Figure:
    figure = empty_figure(1.9 * len(rows) + 0.4, 4.9)
    panels = figure.subplots(2, len(rows), squeeze=False)
    for column, one in enumerate(rows):
        arrays = read_arrays(one.path, one.fields_file or "")
        size = one.arm.image_size
        for row, when in enumerate(("before", "after")):
            field, reading = arrays[f"field_{when}_{size}"], one.fields[f"{when}_{size}"]
            _panel(panels[row][column], field, reading)
        colour = readable(family(one.about.family)[1])
        panels[0][column].set_title(_short(one), fontsize=7.5, color=colour)
    for row, when in enumerate(("before training", "after training")):
        panels[row][0].set_ylabel(when, fontsize=9)
    headline(figure, f"Effective receptive fields on {data}")
    caption(figure, CAPTION)
    return figure


def _short(one: Accuracy) -> str:
    if one.given or one.about.family != "skeleton":
        return one.given or family(one.about.family)[0]
    return "skeleton\n" + ", ".join(one.model.split("_")[3:5])


def _panel(axes: Axes, field: Any, reading: dict[str, Any]) -> None:
    side = field.shape[-1]
    axes.imshow(np.sqrt(field / field.max()), cmap="magma", extent=(0, side, side, 0))
    centre = (reading["column"], reading["row"])
    for radius, style in ((reading["r50"], "-"), (reading["r90"], "--")):
        axes.add_patch(
            Circle(centre, radius, fill=False, color="#56B4E9", linewidth=1.2, linestyle=style)
        )
    axes.set_xticks([])
    axes.set_yticks([])
    mark = " *" if reading["saturated"] else ""
    axes.set_xlabel(f"r50 {reading['r50']:.1f} px, {reading['share50']:.0%}{mark}", fontsize=7.5)


figures.add(
    Figure(
        name="receptive_fields",
        draw=receptive_fields,
        of_studies=True,
        summary="effective receptive fields before and after training",
        needs="receptive fields of trained models: run --data digits --metrics receptive_field",
    )
)
