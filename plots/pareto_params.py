"""Top-1 against parameters."""

import matplotlib.figure

from bench.analysis.rows import Summary
from bench.plugins import Figure, figures

from ._pareto import draw


def pareto(summary: Summary) -> dict[str, matplotlib.figure.Figure]:
    """One figure per data set, measured and published apart."""
    return draw(summary, "params", title="parameters")


figures.add(Figure(name="pareto_params", draw=pareto, summary="top-1 against parameters"))
