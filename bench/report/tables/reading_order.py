"""Every table of a report in its order; and those of published ranges, budget matches, plans and listings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.analysis.rows import Summary
from bench.report.table import Table
from bench.report.tables.accuracies import accuracy, training_cost, views
from bench.report.tables.fused import handwritten
from bench.report.tables.published import published_elsewhere, published_ranges, published_speeds
from bench.report.tables.roofline import ceilings
from bench.report.tables.speeds import best, efficiency, percentiles

if TYPE_CHECKING:  # imports torch
    pass


def all_tables(summary: Summary) -> list[Table]:
    """Every table of a report, in reading order."""
    found = [
        *(
            efficiency(summary),
            best(summary),
            handwritten(summary),
            percentiles(summary),
            ceilings(summary),
        ),
        *(
            accuracy(summary),
            views(summary),
            training_cost(summary),
            published_ranges(summary),
            published_elsewhere(summary),
        ),
        published_speeds(summary),
    ]
    return [table for tables in found for table in tables]


COUNTED_IN = {"params": "parameter", "macs": "MAC"}
"""Columns of a listing that are counts of a model, with their stored units."""
