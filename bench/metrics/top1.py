"""Share of test images whose most likely class is the right one: after a training, of published weights, of a file's."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from bench import environment
from bench.plugins import Metric, datasets, metrics
from bench.record import AccuracyArm
from bench.subject import Reading, Subject
from bench.training.evaluate import Result
from bench.training.session import Files, Trained, train_and_evaluate
from bench.training.weights import evaluate_weights


def measure(subject: Subject, window: float) -> Reading:
    """Train (or take weights, or a baseline), then read the test labels once."""
    arm, job = subject.arm, subject.job
    assert isinstance(arm, AccuracyArm)
    device, workers = torch.device(subject.device), environment.cores()
    if arm.recipe is not None:
        files = Files(Path(job.folder), job.stem) if job is not None and job.folder else None
        if files is not None and job.fresh:
            files.forget()
        trained = train_and_evaluate(
            arm, build=subject.build, device=device, seed=subject.seed, workers=workers, files=files, tell=subject.progress
        )
        return reading_of_training(trained)
    if arm.weights is not None or arm.checkpoint is not None:
        checkpoint = Path(job.checkpoint) if job is not None and job.checkpoint else None
        spread = job is not None and job.spread
        found = evaluate_weights(
            arm, checkpoint=checkpoint, spread=spread, build=subject.build, device=device, workers=workers, tell=subject.progress
        )
        return reading(found.result, found.detail)
    name, _, argument = arm.data.partition(":")
    splits = datasets.get(name).open(argument)
    right = datasets.get(name).baselines[arm.model](splits) == splits.test.labels
    return reading(Result(right, right), {})


def reading_of_training(trained: Trained) -> Reading:
    """What a training gave, its curves beside the record."""
    return reading(trained.result, trained.detail, **asdict(trained.curve))


def reading(result: Result, detail: dict[str, object], **arrays: object) -> Reading:
    """One value with its counts; which images were right goes beside the record."""
    counts = {"correct": int(result.first.sum()), "images": len(result.first), "top5_correct": int(result.among_five.sum())}
    kept = {"correct": result.first.numpy(), "top5_correct": result.among_five.numpy()}
    return Reading([counts["correct"] / counts["images"]], counts | detail, kept | arrays)


metrics.add(Metric(name="top1", unit="share", better="higher", arm="accuracy", measure=measure, summary="top-1 accuracy on the test split"))
