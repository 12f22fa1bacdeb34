"""Siblings of equal latency: searched by measuring on the device itself, since no closed form knows it.

Along a family's published scaling the cost in MACs is bisected; each shape that is tried takes turns with the
reference in interleaved windows, and the ratio of the two, paired by round, decides where to look next.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from bench.count.cost import cost_of
from bench.match.freedom import usual_patch
from bench.match.search import Match
from bench.measure import machine
from bench.measure.messages import Failure, Job, Window, Worker
from bench.measure.own_models import source_of
from bench.plugins import Family, Model, models
from bench.record.arms import SpeedArm
from bench.stats.formatting import interval
from bench.stats.intervals import Estimate
from bench.stats.paired import paired_ratio

ROUNDS = 6
SECONDS = 0.2
STEPS = 8
"""Shapes that are tried at most: bisection of a few hundred."""


def match_latency(
    reference: Model,
    family: Family,
    *,
    image_size: int,
    num_classes: int,
    tolerance: float,
    device: str,
    policy: str,
    open_worker: Callable[[Job], Worker],
) -> Match:
    """The shape of `family` whose latency at batch 1 is nearest the reference's. The rule in the result carries the ratio."""
    scaling = _scaling(family, image_size, num_classes)
    here = _ready(open_worker, reference, image_size, num_classes, device, policy)
    tried: dict[str, Estimate] = {}
    low, high = 0, len(scaling) - 1
    try:
        while low <= high and len(tried) < STEPS:
            middle = (low + high) // 2
            there = _ready(
                open_worker, models.get(scaling[middle]), image_size, num_classes, device, policy
            )
            try:
                ratio = _ratio(there, here)
            finally:
                there.close()
            tried[scaling[middle]] = ratio
            low, high = (middle + 1, high) if ratio.value < 1 else (low, middle - 1)
    finally:
        here.close()
    name = min(tried, key=lambda one: abs(tried[one].value - 1))
    miss = abs(tried[name].value - 1)
    cost = cost_of(models.get(name), image_size=image_size, num_classes=num_classes)
    rule = f"measured: {interval(tried[name])} × the reference's latency; of shapes on the published scaling"
    return Match(
        name=name,
        family=family.name,
        cost=cost,
        miss=miss,
        within=miss <= tolerance,
        rule=rule,
        misses={"latency": tried[name].value - 1},
    )


def _scaling(family: Family, image_size: int, classes: int) -> list[str]:
    """The shape nearest the published scaling at every width, in the order of their MACs."""
    assert family.candidates is not None
    nearest: dict[int, tuple[float, Any]] = {}
    for shape, far in family.candidates(
        image_size,
        [usual_patch(family, image_size)],
        free_mlp=False,
        reachable=lambda *shapes: True,
    ):
        if shape.width not in nearest or far < nearest[shape.width][0]:
            nearest[shape.width] = (far, shape)
    shapes = [shape for _, shape in nearest.values()]
    return [
        shape.name
        for shape in sorted(shapes, key=lambda shape: shape.counts(image_size, classes).macs)
    ]


def _ready(
    start: Callable[[Job], Worker],
    entry: Model,
    image_size: int,
    num_classes: int,
    device: str,
    policy: str,
) -> Worker:
    arm = SpeedArm(
        model=entry.name,
        source=source_of(entry, image_size=image_size, num_classes=num_classes),
        image_size=image_size,
        num_classes=num_classes,
        policy=policy,
        device=device.partition(":")[0],
        batch_size=1,
    )
    worker = start(Job(arm, device, seed=0, threads=machine.cores()))
    try:
        worker.ready()
    except Failure:
        worker.close()
        raise
    return worker


def _ratio(there: Worker, here: Worker) -> Estimate:
    """Latency of `there` over that of `here`, paired by round."""
    seconds: tuple[dict[int, float], dict[int, float]] = ({}, {})
    for number in range(ROUNDS):
        # Who goes first alternates, so that neither always finds the caches as the other left them.
        for side in (0, 1) if number % 2 else (1, 0):
            samples = (there, here)[side].take(Window("latency", SECONDS), lambda text: None)
            seconds[side][number] = statistics.median(samples.values)
    ratio = paired_ratio(*seconds)
    assert ratio is not None
    return ratio
