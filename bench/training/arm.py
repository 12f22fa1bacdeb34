"""Train or evaluate one accuracy arm, as the metric `top1` and the processes of torchrun do it."""

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
    """Train an arm's model and evaluate it, keeping its files in the job's folder.

    A job without a folder, or None in its place, keeps no files. Returns the top-1 as a share, with
    the training curves and which images were right as arrays. Arguments and errors are those of
    `train_and_evaluate`.
    """
    from bench.training.session import train_and_evaluate  # imports timm, which takes seconds

    trained = train_and_evaluate(
        arm,
        data=images_of(arm, job),
        build=build,
        device=device,
        seed=seed,
        workers=workers,
        files=_files_of(job, world),
        world=world,
        tell=tell,
    )
    return reading(trained.result, trained.detail | beside(job), **asdict(trained.curve))


def beside(job: Job | None) -> dict[str, object]:
    """Return how many arms shared the machine and their threads; empty for a machine to itself."""
    if job is None or job.beside < 2:
        return {}
    return {"beside": job.beside, "threads": job.threads}


def _files_of(job: Job | None, world: World) -> Files | None:
    """Return the job's files; if it has to start afresh, without those of an earlier attempt."""
    if job is None or not job.folder:
        return None
    files = Files(Path(job.folder), job.stem)
    if job.fresh and world.leads:
        files.forget()
    return files


def reading(result: Result, detail: dict[str, object], **arrays: object) -> Reading:
    """Return the top-1 of an evaluation as a share, with its counts and further `detail`.

    The arrays say per image whether it was right (`correct`, `top5_correct`); they and `arrays`
    are stored next to the record.
    """
    correct, images = int(result.first.sum()), len(result.first)
    counts: dict[str, object] = {
        "correct": correct,
        "images": images,
        "top5_correct": int(result.among_five.sum()),
    }
    per_image = {"correct": result.first.numpy(), "top5_correct": result.among_five.numpy()}
    return Reading([correct / images], counts | detail, per_image | arrays)
