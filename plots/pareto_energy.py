"""Top-1 against energy per image."""

import matplotlib.figure

from bench.analysis.rows import Summary
from bench.plugins import Figure, figures

from ._pareto import draw


def pareto(summary: Summary) -> dict[str, matplotlib.figure.Figure]:
    """One figure per data set, measured and published apart."""
    return draw(summary, "energy", title="energy per image")


figures.add(Figure(name="pareto_energy", draw=pareto, summary="top-1 against energy per image"))
