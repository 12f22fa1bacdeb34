"""Find siblings of equal latency by measuring on the device, since no formula gives a latency.

Bisects the cost in MACs along a family's published scaling. Each shape that is tried alternates
with the reference in interleaved windows; their ratio, paired by round, decides where to look next.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.count.cost import cost_of
from bench.devices import kind_of
from bench.match.freedom import usual_patch
from bench.match.search import Match
from bench.match.target import any_shape
from bench.measure import machine
from bench.measure.messages import Job, Window, Worker
from bench.measure.own_models import source_of
from bench.plugins import Family, Model, models
from bench.record.arms import SpeedArm
from bench.stats.formatting import interval
from bench.stats.intervals import Estimate
from bench.stats.paired import paired_ratio

ROUNDS = 6
SECONDS = 0.2
"""Length of a window."""
STEPS = 8
"""Largest number of shapes to try: enough to bisect a few hundred."""


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
    """Return the shape of `family` whose latency at batch 1 is nearest to the reference's.

    Only the shapes on the family's published scaling are tried. `rule` of the result contains the
    measured ratio. Raises Failure if a model cannot be timed.
    """
    scaling = _scaling(family, image_size, num_classes)
    started = _Started(open_worker, image_size, num_classes, device, policy)
    with started.worker(reference) as reference_worker:
        tried = _bisected(scaling, started, reference_worker)
    name = min(tried, key=lambda name: abs(tried[name].value - 1))
    miss = tried[name].value - 1
    measured = f"measured: {interval(tried[name])} × the reference's latency"
    return Match(
        name=name,
        family=family.name,
        cost=cost_of(models.get(name), image_size=image_size, num_classes=num_classes),
        miss=abs(miss),
        within=abs(miss) <= tolerance,
        rule=f"{measured}; of shapes on the published scaling",
        misses={"latency": miss},
    )


def _scaling(family: Family, image_size: int, classes: int) -> list[str]:
    """Return the shape nearest to the published scaling at every width, ordered by MACs."""
    assert family.candidates is not None
    patches = [usual_patch(family, image_size)]
    nearest: dict[int, tuple[float, Any]] = {}
    for shape, distance in family.candidates(
        image_size, patches, free_mlp=False, reachable=any_shape
    ):
        if shape.width not in nearest or distance < nearest[shape.width][0]:
            nearest[shape.width] = (distance, shape)
    shapes = [shape for _, shape in nearest.values()]
    shapes.sort(key=lambda shape: shape.counts(image_size, classes).macs)
    return [shape.name for shape in shapes]


@dataclass(frozen=True)
class _Started:
    """Starts workers that time one model each at batch 1, all under the same conditions."""

    open_worker: Callable[[Job], Worker]
    image_size: int
    num_classes: int
    device: str
    policy: str

    @contextmanager
    def worker(self, entry: Model) -> Iterator[Worker]:
        """Yield a worker that is ready to time a model; Failure if the model cannot be timed."""
        arm = SpeedArm(
            model=entry.name,
            source=source_of(entry, image_size=self.image_size, num_classes=self.num_classes),
            image_size=self.image_size,
            num_classes=self.num_classes,
            policy=self.policy,
            device=kind_of(self.device).name,
            batch_size=1,
        )
        worker = self.open_worker(Job(arm, self.device, seed=0, threads=machine.cores()))
        try:
            worker.ready()
            yield worker
        finally:
            worker.close()


def _bisected(scaling: list[str], started: _Started, reference: Worker) -> dict[str, Estimate]:
    """Bisect the scaling; return the latency ratio to the reference of every model tried."""
    tried: dict[str, Estimate] = {}
    low, high = 0, len(scaling) - 1
    while low <= high and len(tried) < STEPS:
        middle = (low + high) // 2
        name = scaling[middle]
        with started.worker(models.get(name)) as worker:
            tried[name] = _ratio(worker, reference)
        if tried[name].value < 1:
            low = middle + 1
        else:
            high = middle - 1
    return tried


def _ratio(sibling: Worker, reference: Worker) -> Estimate:
    """Return the latency of one worker's model over that of the other's, paired by round."""
    seconds: tuple[dict[int, float], dict[int, float]] = ({}, {})
    for number in range(ROUNDS):
        # Alternate who goes first, so that neither always finds the caches as the other left them.
        for side in (0, 1) if number % 2 else (1, 0):
            worker = (sibling, reference)[side]
            samples = worker.take(Window("latency", SECONDS), lambda text: None)
            seconds[side][number] = statistics.median(samples.values)
    ratio = paired_ratio(*seconds)
    assert ratio is not None
    return ratio
