"""The identity of a user's own model, found in a separate process before planning.

The planning process never imports the user's code, which may print, set threads or end the program.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from bench.count import identity
from bench.errors import UsageError
from bench.measure import machine
from bench.measure.messages import Failure, Identify, Job
from bench.measure.worker import Workers
from bench.plugins import Model, sources
from bench.record.arms import CountArm


def source_of(
    model: Model, *, image_size: int, num_classes: int, use: identity.Use = "inference"
) -> str | None:
    """Return the `source` of an arm: None for a model of this release, else the model's identity.

    A model that cannot be built has an identity too; its arm then records the failure.

    Raises:
        UsageError: if there is no model of that name.
    """
    return _identified(model.name, image_size, num_classes, use) if identity.needed(model) else None


@cache
def _identified(name: str, image_size: int, num_classes: int, use: identity.Use) -> str:
    arm = CountArm(model=name, image_size=image_size, num_classes=num_classes)
    with Workers() as workers:
        try:
            worker = workers.open(
                Job(arm=arm, device="cpu", seed=identity.SEED, threads=machine.cores())
            )
            return worker.identify(Identify(use))
        except Failure as failure:
            if failure.usage:
                raise UsageError(failure.error) from None
            return _by_file(name)


def _by_file(name: str) -> str:
    """Return an identity from the file named, for code that ends or hangs its process."""
    named = re.match(r"(.+\.py):", name)
    return "s" + sources.digest(Path(named[1]))[:11] if named else "s"
