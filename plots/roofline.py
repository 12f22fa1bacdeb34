"""Every model under this machine's roofline: multiply-adds per second over those per byte."""

from __future__ import annotations

from operator import attrgetter

import matplotlib.figure
from matplotlib.axes import Axes

from bench.analysis.groups import grouped
from bench.analysis.roofline import MeasuredCeiling, Place, ceiling, places
from bench.analysis.rows import Summary
from bench.plugins import Figure, figures
from bench.report.palette import family

from ._labels import place
from ._style import family_legend, log_ticks, new_figure

NAMED = 30
"""With more points than this, none is named."""


def roofline(summary: Summary) -> dict[str, matplotlib.figure.Figure]:
    """Draw one figure per policy and image size."""
    groups = grouped(places(summary), attrgetter("row.policy", "row.image_size"))
    drawn = {}
    for (policy, size), found in groups.items():
        drawn[f"roofline_{size}_{policy}"] = _figure(summary, found, policy, size)
    return drawn


def _figure(
    summary: Summary, found: list[Place], policy: str, size: int
) -> matplotlib.figure.Figure:
    probe = summary.probe(found[0].precision)
    assert probe is not None
    top, bandwidth = ceiling(probe, "matmul_ceiling"), ceiling(probe, "copy_ceiling")
    assert top is not None and bandwidth is not None
    figure, axes = new_figure(
        "Roofline",
        "line: the highest rates of arithmetic and copies in all rounds of the same runs; points: "
        f"throughput times MACs, the fewest bytes possible · {policy}, {size} px on "
        f"{summary.machine.hardware}",
    )
    points = []
    for one in found:
        _, colour, marker = family(one.row.about.family)
        rate = one.rate / 1e9
        axes.plot([one.intensity], [rate], marker=marker, color=colour, ms=6.5, ls="none")
        points.append((one.intensity, rate, one.row.label, colour))
    _draw_roof(axes, found, top, bandwidth)
    axes.set_xlabel(
        "multiply-adds per byte (weights once per batch, every output written and read once)"
    )
    axes.set_ylabel("GMAC/s (more is better)")
    family_legend(figure, axes, map(attrgetter("row.family"), found))
    if len(points) <= NAMED:
        place(figure, axes, points)
    return figure


def _draw_roof(
    axes: Axes, found: list[Place], top: MeasuredCeiling, bandwidth: MeasuredCeiling
) -> None:
    """Draw the ceilings, and scale the axes to them and the points."""
    ridge = top.value / bandwidth.value
    intensities = [ridge, *map(attrgetter("intensity"), found)]
    low, high = min(intensities) / 2, max(intensities) * 2
    roof = [low * bandwidth.value / 1e9, top.value / 1e9, top.value / 1e9]
    axes.plot([low, ridge, high], roof, color="#000000", lw=1.2)
    log_ticks(axes, "x", [low, high], always=True)
    log_ticks(axes, "y", [roof[1]], always=True)
    lowest = min(found, key=attrgetter("rate")).rate / 1e9
    axes.set_ylim(0.5 * min(roof[0], lowest), 1.8 * top.value / 1e9)


figures.add(
    Figure(
        name="roofline",
        draw=roofline,
        summary="every model under this machine's measured ceilings",
        needs="throughput, MACs and the rates of the machine, which every timed run measures",
    )
)
