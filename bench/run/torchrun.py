"""One run in several processes that `torchrun` started: each model is trained by all of them.

    torchrun --nproc-per-node 8 -m bench run --metrics top1 --models convmixer_768_32 \
        --data imagenet:/path --recipe deit_imagenet

The leader plans, records and reports as in any other run, but trains in its own process instead of
a worker. The other processes wait for jobs from the leader and do them together with it.
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

ROLL_CALL = ()
"""Sent instead of a job, to find out if all processes are still there."""


def run_together(
    config: RunConfig, measure: Callable[[RunConfig, Callable[[Job], Worker]], int]
) -> int:
    """Run `bench run` under torchrun; returns the exit code.

    `measure` is called by the leader only. UsageError unless `--metrics` is top1 alone.
    """
    if config.metrics != ("top1",):
        raise UsageError(
            "--metrics: torchrun trains each model in all processes together; give --metrics top1, "
            "and measure other metrics in a run without torchrun"
        )
    process_settings.waiting()
    local_processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    process_settings.fix(max(1, machine.cores() // local_processes))
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
        """Train in all processes; weights and baselines are evaluated by a worker of the leader."""
        trains = job.arm.trains
        return Together(job, world, device) if trains else workers.open(job)

    try:
        with Workers() as workers:
            return measure(config, open_worker)
    finally:
        with suppress(RuntimeError):  # the other processes are gone already
            world.from_leader(None)  # no further job


def _follow(world: World, device: str) -> int:
    while (job := _from_leader(world, None)) is not None:
        try:
            if job != ROLL_CALL:
                _do(job, world, device, lambda text: None)
        except Exception:  # the leader fails in the same way, and reports it
            continue
    return 0


def _from_leader(world: World, value: Any) -> Any:
    """Return the leader's value in every process.

    UsageError if a process is gone, which says nothing about the model.
    """
    try:
        return world.from_leader(value)
    except RuntimeError as error:
        raise UsageError(
            f"torchrun: one of the {world.size} processes was lost ({one_line(error)}); rerun the "
            "same command to continue from the last checkpoint (torchrun --max-restarts N does so "
            "by itself)"
        ) from error


def _do(job: Job, world: World, device: str, tell: Callable[[str], None]) -> Samples:
    """Train one arm together with the other processes."""
    assert isinstance(job.arm, AccuracyArm)
    reading = train(
        job.arm,
        job,
        build=builder(job),
        device=torch.device(device),
        seed=job.seed,
        workers=job.threads,
        tell=tell,
        world=world,
    )
    return Samples(reading.values, reading.detail, reading.arrays)


class Together:
    """A worker in the leader's process, which trains together with the other processes."""

    def __init__(self, job: Job, world: World, device: str) -> None:
        self.job, self.world, self.device = job, world, device
        self.pid = os.getpid()

    def prepare(self) -> None:
        """Do nothing: all processes build the model together."""

    def make_reference(self) -> None:
        """Do nothing: training runs are not compared with anything."""

    def ready(self) -> dict[str, Any]:
        """Return no set-up times: the model is built when a window is taken."""
        return {}

    def take(
        self,
        window: Window,
        heard: Callable[[str], None],
        glance: Callable[[], None] = lambda: None,
    ) -> Samples:
        """Train, whatever the window's length. Raises Failure."""
        _from_leader(self.world, self.job)
        try:
            with redirect_stdout(io.StringIO()):
                return _do(self.job, self.world, self.device, heard)
        except Exception as error:
            _from_leader(self.world, ROLL_CALL)
            raise failure_of(error) from error

    def close(self) -> None:
        """Do nothing: the process is the leader's own."""
