"""A results folder as large as a big comparison: python -m tests.many_records FOLDER [RECORDS]."""

from __future__ import annotations

import random
import sys
from pathlib import Path

from bench.record.arms import Arm, CountArm, SpeedArm, key_of
from bench.record.schema import Sample
from bench.record.store import Record, path_of, sealed

from . import synthetic
from .conftest import MACHINE

SIDE = 32
"""Pixels, as of the training runs: accuracies are drawn against speeds at the same size."""
FAMILIES = ("convmixer", "vit", "mixer", "resnet")


def write(results: Path, records: int = 2000) -> Path:
    """Write a quarter each of counts, latencies, throughputs and training runs on digits."""
    folder = results / MACHINE.name / "records"
    folder.mkdir(parents=True)
    draw = random.Random(0)
    for number in range(records // 4):
        family = FAMILIES[number % 4]
        model = f"{family}_{64 + 8 * (number // 16)}_{2 + number % 16}"
        macs = float(round(1e9 * draw.lognormvariate(1, 1)))
        speed = 60e9 / macs
        found: list[Record] = [
            synthetic.count(model, macs // 200, macs, image_size=SIDE),
            synthetic.speed(
                model,
                synthetic.noisy(draw, 1 / speed, 0.05, 12),
                metric="latency",
                family=family,
                image_size=SIDE,
            ),
            synthetic.speed(
                model, synthetic.noisy(draw, speed, 0.05, 12), family=family, image_size=SIDE
            ),
            synthetic.training(
                model, 0, 80 + draw.gauss(0, 5), data="digits", recipe="digits", family=family
            ),
        ]
        found[0].rounds[0].samples.append(
            Sample(metric="activations", unit="element", better="lower", values=[macs // 400])
        )
        for record in found:
            _save(folder, record)
    return results


def _save(folder: Path, record: Record) -> None:
    arm: Arm = record.arm
    path = path_of(folder, arm, record.head.settings)
    assert isinstance(arm, (CountArm, SpeedArm)) or record.head.key == key_of(
        arm, record.head.settings
    )
    lines = [record.head, *record.runs, *record.rounds, *record.ends]
    path.write_bytes(b"".join(sealed(line) for line in lines))


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2000)
