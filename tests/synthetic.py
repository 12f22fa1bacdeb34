"""Records in memory whose truth is known, for studies and claims."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from bench.plugins.recipe import recipes
from bench.record import store
from bench.record.arms import AccuracyArm, Arm, CountArm, SpeedArm, key_of
from bench.record.schema import FORMAT, About, ArmLine, EndLine, Role, RoundLine, Sample
from bench.record.store import Record
from bench.stats.lr_search import AS_IS

from .conftest import run_line

LIFE = 2
"""Rounds of a process."""
UNITS = {
    "throughput": ("image/s", "higher"),
    "latency": ("s", "lower"),
    "layer_time": ("s", "none"),
    "memory": ("B", "lower"),
}


def _record(
    arm: Arm, rounds: list[list[Sample]], family: str, studies: dict[str, str], role: Role = "asked"
) -> Record:
    head = ArmLine(
        format=FORMAT, key=key_of(arm, {}), arm=arm, settings={}, about=About(family=family)
    )
    run = run_line(
        studies=studies,
        role=role,
    )
    lines = [
        RoundLine(run="r1", round=at + 1, worker=1 + at // LIFE, samples=samples)
        for at, samples in enumerate(rounds)
    ]
    metrics = [sample.metric for sample in rounds[0]]
    return Record(
        path=Path(head.key),
        head=head,
        runs=[run],
        rounds=lines,
        ends=[EndLine(run="r1", status="ok", metrics=metrics)],
    )


def speed(
    model: str,
    values: Iterable[float],
    *,
    metric: str = "throughput",
    image_size: int = 224,
    policy: str = "fp32",
    family: str = "vit",
    studies: dict[str, str] | None = None,
    role: Role = "asked",
    details: Sequence[dict[str, Any]] = (),
) -> Record:
    """A speed with one value per round, and the details of each if there are any."""
    unit, better = UNITS[metric]
    batch = 2 if metric == "throughput" else 1
    arm = SpeedArm(
        model=model,
        image_size=image_size,
        num_classes=1000,
        policy=policy,
        device="cpu",
        batch_size=batch,
    )
    samples = [
        [Sample(metric=metric, unit=unit, better=better, values=[value], detail=detail)]
        for value, detail in zip_longest(values, details, fillvalue={})
    ]
    return _record(arm, samples, family, studies or {}, role)


def sound_pair(image_size: int = 224) -> list[Record]:
    """A run's A/A pair that is as it has to be: speeds beside it earn verdicts."""
    values = [10.0, 10.01, 9.99, 10.0, 10.01, 9.99, 10.0, 10.01]
    each = {"vit_s16": values, "deit_s16": values[::-1]}
    return [
        speed(name, found, policy="channels_last", image_size=image_size, role="sentinel")
        for name, found in each.items()
    ]


def count(model: str, params: float, macs: float, image_size: int = 224) -> Record:
    """Exact counts."""
    samples = [
        Sample(metric="params", unit="parameter", better="lower", values=[params]),
        Sample(metric="macs", unit="MAC", better="lower", values=[macs]),
    ]
    return _record(
        CountArm(model=model, image_size=image_size, num_classes=1000), [samples], "vit", {}
    )


def training(
    model: str,
    seed: int,
    points: float,
    *,
    data: str,
    recipe: str,
    tuning: str = AS_IS,
    equalise: Literal["epochs", "macs", "seconds"] = "epochs",
    family: str = "convmixer",
    studies: dict[str, str] | None = None,
) -> Record:
    """One training that ended with so many points of top-1 on 10,000 images."""
    found = recipes.get(recipe)
    arm = AccuracyArm(
        model=model,
        image_size=32,
        num_classes=10,
        data=data,
        split="test",
        transform="t",
        recipe=found.name,
        recipe_hash=found.hash,
        tuning=tuning,
        equalise=equalise,
        policy="fp32",
        seed=seed,
    )
    correct = round(min(max(points, 0.0), 100.0) * 100)
    detail = {"correct": correct, "images": 10_000, "train_s": 10.0, "peak_memory_bytes": 1e9}
    return _record(
        arm,
        [
            [
                Sample(
                    metric="top1",
                    unit="share",
                    better="higher",
                    values=[correct / 10_000],
                    detail=detail,
                )
            ]
        ],
        family,
        studies or {},
    )


def noisy(draw: random.Random, middle: float, spread: float, number: int) -> list[float]:
    """Values around a middle, spread by so many parts of it."""
    return [middle * 2.718281828 ** draw.gauss(0, spread) for _ in range(number)]


def write(folder: Path, records: Iterable[Record]) -> None:
    """Write records into a machine's folder, as the program would have."""
    for record in records:
        head = record.head
        path = store.create(folder / "records", head.arm, dict(head.settings), head.about)
        for line in (*record.runs, *record.rounds, *record.ends, *record.names):
            store.append(path, line)
