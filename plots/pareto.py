"""Top-1 against a cost: one figure for each entry of `bench.report.columns` that asks for one."""

from functools import partial

from bench.plugins import Figure, figures
from bench.report.columns import COLUMNS

from ._pareto import draw

for metric, shown in sorted(COLUMNS.items()):
    if shown.pareto:
        figures.add(
            Figure(
                name=f"pareto_{metric}",
                draw=partial(draw, metric=metric),
                summary=f"top-1 against {shown.name}",
                needs=f"top-1 and {shown.name} of the same models, measured, or published top-1",
            )
        )
