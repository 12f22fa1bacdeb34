"""Empty cells: the command that measures each, and the arm behind it for a forecast of its time."""

from __future__ import annotations

import msgspec

from bench.analysis.rows import Quantity, Row, Summary
from bench.devices import kind_of
from bench.forecast.forecast import Pace, Want
from bench.record.arms import CountArm, SpeedArm
from bench.record.metric_units import METRICS
from bench.report.columns import display_of
from bench.report.fill import Fill


def missing(summary: Summary, row: Row, quantity: Quantity) -> Fill:
    """Return how to measure a quantity that a row lacks and other rows have."""
    if _is_count(summary, quantity.metric):
        return missing_count(row.model, row.image_size, quantity.metric)
    flags = _size(row.image_size)
    if quantity.batch_size and not display_of(quantity.metric).one_batch:
        flags += ("--batch-sizes", str(quantity.batch_size))
    if row.policy and row.policy != kind_of(summary.machine.kind).policy:
        flags += ("--policies", row.policy)
    return Fill(row.model, quantity.metric, flags, _speed(summary, row, quantity))


def _is_count(summary: Summary, metric: str) -> bool:
    """True if no policy changes a metric; of a plug-in's metric, its records tell."""
    known = METRICS.get(metric)
    return known.arm == "count" if known else metric in summary.counted


def _speed(summary: Summary, row: Row, quantity: Quantity) -> Want | None:
    """Return the arm that lacks a speed: the last one with this metric, of the row's model.

    None if this machine has not measured the metric yet.
    """
    like, known = summary.past.measuring(quantity.metric), METRICS.get(quantity.metric)
    if like is None or known is None or not isinstance(like.arm, SpeedArm):
        return None
    arm = msgspec.structs.replace(
        like.arm,
        model=row.model,
        source=None,
        image_size=row.image_size,
        num_classes=summary.past.classes(row.model) or like.arm.num_classes,
        policy=row.policy or kind_of(summary.machine.kind).policy,
        batch_size=quantity.batch_size or like.arm.batch_size,
    )
    return Want(arm, (Pace(quantity.metric, known.rounds),), like.settings)


def missing_count(model: str, image_size: int, metric: str) -> Fill:
    """Return how to count parameters, MACs or activations, which no policy changes."""
    # Counting takes as long for any number of classes.
    arm = CountArm(model=model, image_size=image_size, num_classes=1)
    return Fill(model, metric, _size(image_size), Want(arm, (Pace(metric),), {}))


def _size(image_size: int) -> tuple[str, ...]:
    return () if image_size == 224 else ("--image-size", str(image_size))
