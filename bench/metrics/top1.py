"""Share of test images whose most likely class is the right one."""

import torch

from bench.plugins import Metric, datasets, metrics
from bench.record import AccuracyArm
from bench.subject import Reading, Subject
from bench.training.evaluate import evaluate_weights
from bench.training.loop import predict, train
from bench.training.recipe import recipes


def measure(subject: Subject, window: float) -> Reading:
    """Train (or take published weights, or a baseline), then read the test labels once."""
    arm = subject.arm
    assert isinstance(arm, AccuracyArm)
    name, _, argument = arm.data.partition(":")
    dataset = datasets.get(name)
    if arm.weights is not None:
        result = evaluate_weights(arm, argument, device=subject.device, progress=subject.progress)
        return reading(result.correct, {"top5_correct": result.top5_correct})
    splits = dataset.load(argument)
    if arm.recipe is None:
        return reading(dataset.baselines[arm.model](splits) == splits.test.labels, {})
    recipe, device = recipes.get(arm.recipe), torch.device(subject.device)
    model = subject.build()
    start = subject.clock.now()
    curve = train(
        model,
        splits,
        recipe,
        seed=subject.seed,
        device=device,
        progress=lambda step, steps, loss: subject.progress(f"training, {step / steps:.0%}, loss {loss:.3f}"),
    )
    subject.clock.synchronize()
    seconds = subject.clock.now() - start
    correct = predict(model, splits, splits.test, device=device) == splits.test.labels
    arrays = {"loss": curve.loss, "learning_rate": curve.learning_rate}
    return reading(correct, {"train_s": seconds, "epochs": recipe.epochs, "final_loss": curve.loss[-1]}, **arrays)


def reading(correct: torch.Tensor, detail: dict[str, object], **arrays: object) -> Reading:
    """One value with its counts; which images were right goes beside the record."""
    counts = {"correct": int(correct.sum()), "images": len(correct)}
    return Reading([counts["correct"] / counts["images"]], counts | detail, {"correct": correct.numpy(), **arrays})


metrics.add(Metric(name="top1", unit="share", better="higher", arm="accuracy", measure=measure, summary="top-1 accuracy on the test split"))
