"""Top-1 against every cost that `bench.report.columns` draws it against, one figure each: `pareto_latency`, `pareto_macs` and so on."""

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
            )
        )
