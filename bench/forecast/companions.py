"""Choose the arms that an A/A pair runs like. Measuring and forecasting share this rule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from bench.record.arms import SpeedArm
from bench.stats.reference import sentinel_size

TIMED = ("throughput", "latency")
"""The metrics that an A/A pair can share with an arm, the preferred one first."""


def patterns(arms: Iterable[tuple[SpeedArm, Sequence[str]]]) -> list[tuple[SpeedArm, str]]:
    """Return one arm per image size of an A/A pair, and the metric that the pair is measured by.

    `arms` come with the names of their metrics. A pair runs at the batch size and policy of the
    first timed arm of its size, so that it costs as much as one arm; arms with throughput go before
    those with latency only. The arms returned have the pair's image size, but still the model that
    they were taken from.
    """
    inference = [(arm, names) for arm, names in arms if arm.mode == "inference"]
    by_size: dict[int, tuple[SpeedArm, str]] = {}
    for metric in TIMED:
        for arm, names in inference:
            if metric in names:
                size = sentinel_size(arm.image_size)
                pattern = msgspec.structs.replace(arm, source=None, image_size=size)
                by_size.setdefault(size, (pattern, metric))
    return list(by_size.values())
