"""Every model under this machine's roofline: multiply-adds per second over multiply-adds per byte."""

from __future__ import annotations

import matplotlib.figure

from bench.analysis.roofline import ceiling, places
from bench.analysis.rows import Summary
from bench.plugins import Figure, figures
from bench.report.palette import family

from ._labels import place
from ._style import log_ticks, new_figure

NAMED = 30


def roofline(summary: Summary) -> dict[str, matplotlib.figure.Figure]:
    """One figure per policy and image size."""
    drawn = {}
    found = places(summary)
    for policy, size in dict.fromkeys((one.row.policy, one.row.image_size) for one in found):
        here = [one for one in found if (one.row.policy, one.row.image_size) == (policy, size)]
        probe = summary.probe(here[0].precision)
        assert probe is not None
        tops = [ceiling(probe, name) for name in ("matmul_ceiling", "copy_ceiling")]
        top, bandwidth = (one.value for one in tops if one is not None)
        machine = summary.machine.hardware
        figure, axes = new_figure(
            "Roofline",
            f"line: the fastest arithmetic and copy of all rounds of the same runs; points: throughput times MACs, the fewest "
            f"bytes possible · {policy}, {size} px on {machine}",
        )
        points = []
        for one in here:
            _, colour, marker = family(one.row.about.family)
            axes.plot(
                [one.intensity], [one.rate / 1e9], marker=marker, color=colour, ms=6.5, ls="none"
            )
            points.append((one.intensity, one.rate / 1e9, one.row.model, colour))
        ridge = top / bandwidth
        low, high = (
            min([ridge, *(x for x, *_ in points)]) / 2,
            max([ridge, *(x for x, *_ in points)]) * 2,
        )
        axes.plot(
            [low, ridge, high],
            [low * bandwidth / 1e9, top / 1e9, top / 1e9],
            color="#000000",
            lw=1.2,
        )
        log_ticks(axes, "x", [low, high], always=True)
        log_ticks(axes, "y", [top / 1e9], always=True)
        axes.set_ylim(
            0.5 * min([low * bandwidth / 1e9, *(y for _, y, *_ in points)]), 1.8 * top / 1e9
        )
        axes.set_xlabel(
            "multiply-adds per byte (weights once per batch, every output written and read once)"
        )
        axes.set_ylabel("GMAC/s (more is better)")
        for name in dict.fromkeys(one.row.about.family for one in here):
            label, colour, marker = family(name)
            axes.plot([], [], marker=marker, color=colour, ls="none", label=label)
        figure.legend(loc="outside lower center", ncols=6, fontsize=8, frameon=False)
        figure.draw_without_rendering()
        if len(points) <= NAMED:
            place(figure, axes, points, [])
        drawn[f"roofline_{size}_{policy}"] = figure
    return drawn


figures.add(
    Figure(
        name="roofline", draw=roofline, summary="every model under this machine's measured ceilings"
    )
)
