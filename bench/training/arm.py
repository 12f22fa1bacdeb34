"""Train or evaluate one accuracy arm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from bench.measure.messages import Job, images_of
from bench.plugins import Reading
from bench.record.arms import AccuracyArm
from bench.training.evaluate import Result
from bench.training.images.files import Files
from bench.training.processes import ALONE, World
from bench.training.session import train_and_evaluate


def train(
    arm: AccuracyArm,
    job: Job | None,
    *,
    build: Callable[..., nn.Module],
    device: torch.device,
    seed: int,
    workers: int,
    tell: Callable[[str], None],
    world: World = ALONE,
) -> Reading:
    """Train and evaluate, with the files that the job has a place for; the curves stand beside the record."""
    files = Files(Path(job.folder), job.stem) if job is not None and job.folder else None
    if files is not None and job is not None and job.fresh and world.leads:
        files.forget()
    trained = train_and_evaluate(
        arm,
        data=images_of(arm, job),
        build=build,
        device=device,
        seed=seed,
        workers=workers,
        files=files,
        world=world,
        tell=tell,
    )
    shared = (
        {"beside": job.beside, "threads": job.threads} if job is not None and job.beside > 1 else {}
    )
    return reading(trained.result, trained.detail | shared, **asdict(trained.curve))


def reading(result: Result, detail: dict[str, object], **arrays: object) -> Reading:
    """One value with its counts; which images were right goes beside the record."""
    counts = {
        "correct": int(result.first.sum()),
        "images": len(result.first),
        "top5_correct": int(result.among_five.sum()),
    }
    kept = {"correct": result.first.numpy(), "top5_correct": result.among_five.numpy()}
    return Reading([counts["correct"] / counts["images"]], counts | detail, kept | arrays)
