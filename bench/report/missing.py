"""What an empty cell lacks: the command that measures it and about how long that takes. Knows no torch."""

from __future__ import annotations

import msgspec

from bench.analysis.rows import Quantity, Row, Summary
from bench.config import DEFAULT_POLICY
from bench.forecast.forecast import Pace, Want
from bench.record.arms import CountArm, SpeedArm
from bench.record.metric_units import METRICS
from bench.report.columns import display_of
from bench.report.fill import Fill

COUNTED = ("params", "macs", "activations")
"""Metrics that are measured at batch 1 whatever `--batch-sizes` says."""


def missing(summary: Summary, row: Row, quantity: Quantity) -> Fill:
    """What a row lacks that others have."""
    if quantity.metric in COUNTED:
        return missing_count(row.model, row.image_size, quantity.metric)
    flags = _size(row.image_size)
    if quantity.batch_size and not display_of(quantity.metric).one_batch:
        flags += ("--batch-sizes", str(quantity.batch_size))
    if row.policy and row.policy != DEFAULT_POLICY[summary.machine.kind]:
        flags += ("--policies", row.policy)
    return Fill(row.model, quantity.metric, flags, _speed(summary, row, quantity))


def _speed(summary: Summary, row: Row, quantity: Quantity) -> Want | None:
    """The arm that lacks a speed: as the last one that this metric was measured of, but of the row's model and policy."""
    like, known = summary.past.measuring(quantity.metric), METRICS.get(quantity.metric)
    if like is None or known is None or not isinstance(like.arm, SpeedArm):
        return None
    arm = msgspec.structs.replace(
        like.arm,
        model=row.model,
        source=None,
        image_size=row.image_size,
        num_classes=summary.past.classes(row.model) or like.arm.num_classes,
        policy=row.policy or DEFAULT_POLICY[summary.machine.kind],
        batch_size=quantity.batch_size or like.arm.batch_size,
    )
    return Want(arm, (Pace(quantity.metric, known.rounds),), like.settings)


def missing_count(model: str, image_size: int, metric: str) -> Fill:
    """Parameters, MACs or activations, which no policy changes."""
    arm = CountArm(
        model=model, image_size=image_size, num_classes=1
    )  # however many classes: a count takes as long
    return Fill(model, metric, _size(image_size), Want(arm, (Pace(metric),), {}))


def _size(image_size: int) -> tuple[str, ...]:
    return () if image_size == 224 else ("--image-size", str(image_size))
