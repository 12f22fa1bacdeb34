"""Which arm a model of the user's own is: what its code builds is looked at in a process of its own, before anything is planned.

The planning process never imports that code: it may print, set threads, or end the program.
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
    """What stands in an arm beside the model's name: None for this release's own, else an identity of what is built.

    Raises UsageError where the name is wrong. A model that can't be built has an identity too: its arm says why it failed.
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
    """For code that ends or hangs its process: the file that was named, as far as there is one."""
    named = re.match(r"(.+\.py):", name)
    return "s" + sources.digest(Path(named[1]))[:11] if named else "s"
