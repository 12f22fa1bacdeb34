"""Packs of several machines whose truth is known."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import msgspec

from bench.exchange.pack import pack
from bench.exchange.signing import PrivateKey
from bench.record.store import Record

from . import synthetic
from .conftest import MACHINE

SPEEDS = {"vit_s16": 13.0, "resnet50": 12.0, "mixer_b16": 5.0}
"""Images per second of a machine on which nothing else is said."""


def records(
    name: str,
    speeds: Mapping[str, float] = SPEEDS,
    *,
    spread: float = 0.004,
    pair: bool = True,
    metric: str = "throughput",
    rounds: int = 12,
    seed: int = 0,
) -> list[Record]:
    """Records of a machine with these true speeds; without a `pair` it has no A/A check."""
    draw = random.Random(f"{name} {seed}")
    found = []
    for model, value in speeds.items():
        values = synthetic.noisy(draw, value, spread, rounds)
        found.append(synthetic.speed(model, values, metric=metric))
    if pair:
        found += synthetic.sound_pair()
    machine = msgspec.structs.replace(MACHINE, name=name, cpu=f"CPU of {name}")
    for record in found:
        record.runs = [msgspec.structs.replace(run, machine=machine) for run in record.runs]
    return found


def packed(
    folder: Path, name: str, found: list[Record], *, file: str = "", key: PrivateKey | None = None
) -> Path:
    """Write the records of one machine as a pack; return its path."""
    results = folder.parent / f"{folder.name}_sources" / (file or name)
    synthetic.write(results / name, found)
    target = folder / f"{file or name}.zip"
    folder.mkdir(exist_ok=True)
    pack(results, target, key)
    return target
