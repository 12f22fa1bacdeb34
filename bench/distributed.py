"""One run in several processes that `torchrun` started: accuracies only, every model trained by all of them together.

    torchrun --nproc-per-node 8 -m bench run --metrics top1 --models convmixer_768_32 --data imagenet:/path --recipe deit_imagenet

The leader plans, records and reports as ever; its worker is no process of its own but this one, and the other processes
do the same job beside it. They are told each job and otherwise know nothing.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch

from bench import environment, settings
from bench.config import RunConfig
from bench.errors import UsageError
from bench.metrics.top1 import reading_of_training
from bench.plugins import models
from bench.record import AccuracyArm, load
from bench.training.session import Files, train_and_evaluate
from bench.training.world import World, join, leave
from bench.worker import Job, Samples, Window, Worker, Workers, failure_of


def run_together(config: RunConfig) -> int:
    """What `bench run` does under `torchrun`; returns the exit code."""
    if config.metrics != ("top1",):
        raise UsageError("--metrics: under torchrun models are trained together; give --metrics top1 and time them in a run of their own")
    settings.waiting()
    threads = max(1, environment.cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    settings.fix(threads)
    world, device = join(environment.resolve_device(config.device))
    try:
        return _lead(config, world, device) if world.leads else _follow(world, device)
    finally:
        leave()


def _lead(config: RunConfig, world: World, device: str) -> int:
    from rich.console import Console

    from bench.console import Live, print_tables
    from bench.runner import Runner
    from bench.summary import summarise
    from bench.tables import all_tables

    console = Console() if os.isatty(1) else Console(width=160)
    alone = Workers()

    def open_worker(job: Job) -> Worker:
        """Trainings are everybody's; weights and baselines are evaluated by the leader's own worker."""
        trains = isinstance(job.arm, AccuracyArm) and job.arm.recipe is not None
        return Together(job, world, device) if trains else alone.open(job)

    try:
        with Live(console) as live:
            outcome = Runner(config, live, open_worker).run()
    finally:
        world.from_leader(None)  # the others may go
    records = [found for path in outcome.records if (found := load(path)).runs]
    if records:
        print_tables(console, [table for table in all_tables(summarise(records)) if table.title.startswith(("Top-1", "Training"))])
    console.print(
        f"\n{outcome.measured} arms measured by {world.size} processes; records in {outcome.folder}", soft_wrap=True, highlight=False
    )
    return 1 if outcome.measured and len(outcome.failures) == outcome.measured else 0


def _follow(world: World, device: str) -> int:
    while (job := world.from_leader(None)) is not None:
        try:
            _do(job, world, device, lambda text: None)
        except Exception:  # the leader fails alike, and it is the one who reports
            continue
    return 0


def _do(job: Job, world: World, device: str, tell: Callable[[str], None]) -> Samples:
    """One arm, together with the others."""
    arm = job.arm
    assert isinstance(arm, AccuracyArm)

    def build(image_size: int) -> torch.nn.Module:
        torch.manual_seed(job.seed)
        network: torch.nn.Module = models.get(arm.model).build(image_size=image_size, num_classes=arm.num_classes)
        return network

    files = Files(Path(job.folder or "."), job.stem)
    if job.fresh and world.leads:
        files.forget()
    trained = train_and_evaluate(
        arm, build=build, device=torch.device(device), seed=job.seed, workers=job.threads, files=files, world=world, tell=tell
    )
    found = reading_of_training(trained)
    return Samples(found.values, found.detail, found.arrays)


class Together:
    """A worker that is this process, and the others beside it."""

    def __init__(self, job: Job, world: World, device: str) -> None:
        self.job, self.world, self.device = job, world, device
        self.pid = os.getpid()

    def ready(self) -> dict[str, Any]:
        return {}

    def take(self, window: Window, heard: Callable[[str], None], glance: Callable[[], None] = lambda: None) -> Samples:
        self.world.from_leader(self.job)
        try:
            with redirect_stdout(io.StringIO()):
                return _do(self.job, self.world, self.device, heard)
        except Exception as error:
            raise failure_of(error) from error

    def close(self) -> None: ...
