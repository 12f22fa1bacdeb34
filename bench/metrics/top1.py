"""Share of test images whose most likely class is correct, after training or with given weights."""

from __future__ import annotations

import torch

from bench.measure import machine
from bench.measure.messages import Chosen, Job, images_of
from bench.measure.subject import AccuracySubject
from bench.plugins import Metric, Reading, dataset_of, metrics, open_data
from bench.record.arms import AccuracyArm
from bench.training.arm import beside, reading, train
from bench.training.weights import evaluate_weights


def measure(subject: AccuracySubject, window: float) -> Reading:
    """Train, or load weights or a baseline, then read the test labels once."""
    arm, job = subject.arm, subject.job
    device, workers = torch.device(subject.device), machine.cores()
    if arm.recipe is not None:
        return train(
            arm,
            job,
            build=subject.build,
            device=device,
            seed=subject.seed,
            workers=workers,
            tell=subject.progress,
        )
    if arm.weights is not None or arm.checkpoint is not None:
        chosen, data = job.chosen if job is not None else Chosen(), images_of(arm, job)
        found = evaluate_weights(
            arm,
            chosen,
            data=data,
            build=subject.build,
            device=device,
            workers=workers,
            tell=subject.progress,
        )
        return reading(found.result, found.detail)
    return _baseline(arm, job)


def _baseline(arm: AccuracyArm, job: Job | None) -> Reading:
    """Return the top-1 of a data set's baseline, which has no top-5: it predicts one label."""
    splits = open_data(images_of(arm, job))
    labels, detail = dataset_of(arm.data)[0].baselines[arm.model].predict(splits)
    right = labels == splits.test.labels
    counts = {"correct": int(right.sum()), "images": len(right)}
    share = counts["correct"] / counts["images"]
    return Reading([share], counts | detail | beside(job), {"correct": right.numpy()})


metrics.add(
    Metric(
        name="top1",
        unit="share",
        better="higher",
        arm="accuracy",
        measure=measure,
        summary="top-1 accuracy on the test split",
    )
)
