"""Which timed arms bring a sentinel pair along, and how that pair runs: one rule for who measures and who forecasts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from bench.record.arms import SpeedArm
from bench.stats.reference import sentinel_size

TIMED = ("throughput", "latency")
"""The metrics that a pair shares with an arm; the first one where both are measured."""


def patterns(arms: Iterable[tuple[SpeedArm, Sequence[str]]]) -> list[tuple[SpeedArm, str]]:
    """Per image size of a pair, the arm that it runs like and the metric that is measured of it.

    `arms` come with the names of their metrics. A pair runs at the batch size and policy of the first timed arm of its
    size, so that it costs what one arm costs; an arm of throughput goes before one of latency. The arms returned have
    the pair's image size; their model is still that of the arm they were taken from.
    """
    shared = [
        (arm, next((name for name in TIMED if name in names), None))
        for arm, names in arms
        if arm.mode == "inference"
    ]
    timed = [(arm, name) for arm, name in shared if name is not None]
    found: dict[int, tuple[SpeedArm, str]] = {}
    for arm, name in sorted(timed, key=lambda pair: TIMED.index(pair[1])):
        size = sentinel_size(arm.image_size)
        found.setdefault(size, (msgspec.structs.replace(arm, source=None, image_size=size), name))
    return list(found.values())
