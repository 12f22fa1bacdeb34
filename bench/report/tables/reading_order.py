"""All tables of a report in reading order."""

from __future__ import annotations

from bench.analysis.rows import Summary
from bench.report.table import Table
from bench.report.tables.accuracies import accuracy, training_cost, views
from bench.report.tables.executions import executions
from bench.report.tables.fused import handwritten
from bench.report.tables.published import published_elsewhere, published_ranges, published_speeds
from bench.report.tables.roofline import ceilings
from bench.report.tables.speeds import best, efficiency, percentiles

ORDER = (
    efficiency,
    best,
    handwritten,
    percentiles,
    ceilings,
    accuracy,
    executions,
    views,
    training_cost,
    published_ranges,
    published_elsewhere,
    published_speeds,
)


def all_tables(summary: Summary) -> list[Table]:
    """Return all tables of a report, in reading order."""
    tables: list[Table] = []
    for make in ORDER:
        tables += make(summary)
    return tables
