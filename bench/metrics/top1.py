"""Share of test images whose most likely class is the right one: after a training, of published weights, of a file's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from bench.measure import machine
from bench.measure.subject import Reading, Subject
from bench.measure.worker import Chosen, Job, images_of
from bench.plugins import Metric, dataset_of, metrics, open_data
from bench.record.arms import AccuracyArm
from bench.training.evaluate import Result
from bench.training.images.files import Files
from bench.training.processes import ALONE, World
from bench.training.session import train_and_evaluate
from bench.training.weights import evaluate_weights


def measure(subject: Subject, window: float) -> Reading:
    """Train (or take weights, or a baseline), then read the test labels once."""
    arm, job = subject.arm, subject.job
    assert isinstance(arm, AccuracyArm)
    device, workers = torch.device(subject.device), machine.cores()
    if arm.recipe is not None:
        return train(arm, job, build=subject.build, device=device, seed=subject.seed, workers=workers, tell=subject.progress)
    if arm.weights is not None or arm.checkpoint is not None:
        chosen, data = job.chosen if job is not None else Chosen(), images_of(arm, job)
        found = evaluate_weights(arm, chosen, data=data, build=subject.build, device=device, workers=workers, tell=subject.progress)
        return reading(found.result, found.detail)
    splits = open_data(images_of(arm, job))
    right = dataset_of(arm.data)[0].baselines[arm.model](splits) == splits.test.labels
    return reading(Result(right, right), {})


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
        arm, data=images_of(arm, job), build=build, device=device, seed=seed, workers=workers, files=files, world=world, tell=tell
    )
    shared = {"beside": job.beside, "threads": job.threads} if job is not None and job.beside > 1 else {}
    return reading(trained.result, trained.detail | shared, **asdict(trained.curve))


def reading(result: Result, detail: dict[str, object], **arrays: object) -> Reading:
    """One value with its counts; which images were right goes beside the record."""
    counts = {"correct": int(result.first.sum()), "images": len(result.first), "top5_correct": int(result.among_five.sum())}
    kept = {"correct": result.first.numpy(), "top5_correct": result.among_five.numpy()}
    return Reading([counts["correct"] / counts["images"]], counts | detail, kept | arrays)


metrics.add(Metric(name="top1", unit="share", better="higher", arm="accuracy", measure=measure, summary="top-1 accuracy on the test split"))
