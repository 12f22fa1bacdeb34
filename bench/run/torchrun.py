"""One run in several processes that `torchrun` started: accuracies only, every model trained by all of them together.

    torchrun --nproc-per-node 8 -m bench run --metrics top1 --models convmixer_768_32 --data imagenet:/path --recipe deit_imagenet

The leader plans, records and reports as ever; its worker is no process of its own but this one, and the other processes
do the same job beside it. They are told each job and otherwise know nothing.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from typing import Any

import torch

from bench.config import RunConfig
from bench.errors import UsageError, one_line
from bench.measure import machine, process_settings
from bench.measure.messages import Job, Samples, Window, Worker
from bench.measure.serve import builder, failure_of
from bench.measure.worker import Workers
from bench.record.arms import AccuracyArm
from bench.training.arm import train
from bench.training.processes import World, join, leave

PRESENT = ()
"""Passed instead of a job, to learn whether all are still there."""


def run_together(
    config: RunConfig, measure: Callable[[RunConfig, Callable[[Job], Worker]], int]
) -> int:
    """What `bench run` does under `torchrun`: the leader measures, the others do as they are told; returns the exit code."""
    if config.metrics != ("top1",):
        raise UsageError(
            "--metrics: under torchrun models are trained together; give --metrics top1 and time them in a run of their own"
        )
    process_settings.waiting()
    process_settings.fix(max(1, machine.cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    world, device = join(machine.resolve_device(config.device))
    try:
        return _lead(config, measure, world, device) if world.leads else _follow(world, device)
    finally:
        leave()


def _lead(
    config: RunConfig,
    measure: Callable[[RunConfig, Callable[[Job], Worker]], int],
    world: World,
    device: str,
) -> int:
    def open_worker(job: Job) -> Worker:
        """Trainings are everybody's; weights and baselines are evaluated by the leader's own worker."""
        trains = job.arm.trains
        return Together(job, world, device) if trains else alone.open(job)

    try:
        with Workers() as alone:
            return measure(config, open_worker)
    finally:
        with suppress(RuntimeError):  # they are gone already
            world.from_leader(None)  # the others may go


def _follow(world: World, device: str) -> int:
    while (job := _together(world, None)) is not None:
        try:
            if job != PRESENT:
                _do(job, world, device, lambda text: None)
        except Exception:  # the leader fails alike, and it is the one who reports
            continue
    return 0


def _together(world: World, value: Any) -> Any:
    """What the leader passed; UsageError where one of the processes is no more, which says nothing of the model."""
    try:
        return world.from_leader(value)
    except RuntimeError as error:
        raise UsageError(
            f"torchrun: one of the {world.size} processes was lost ({one_line(error)}); the same command goes on from the last checkpoint, "
            "and torchrun --max-restarts N gives it by itself"
        ) from error


def _do(job: Job, world: World, device: str, tell: Callable[[str], None]) -> Samples:
    """One arm, together with the others."""
    assert isinstance(job.arm, AccuracyArm)
    where, build = torch.device(device), builder(job)
    found = train(
        job.arm,
        job,
        build=build,
        device=where,
        seed=job.seed,
        workers=job.threads,
        tell=tell,
        world=world,
    )
    return Samples(found.values, found.detail, found.arrays)


class Together:
    """A worker that is this process, and the others beside it."""

    def __init__(self, job: Job, world: World, device: str) -> None:
        self.job, self.world, self.device = job, world, device
        self.pid = os.getpid()

    def ready(self) -> dict[str, Any]:
        return {}

    def take(
        self,
        window: Window,
        heard: Callable[[str], None],
        glance: Callable[[], None] = lambda: None,
    ) -> Samples:
        _together(self.world, self.job)
        try:
            with redirect_stdout(io.StringIO()):
                return _do(self.job, self.world, self.device, heard)
        except Exception as error:
            _together(self.world, PRESENT)
            raise failure_of(error) from error

    def close(self) -> None: ...
