"""One accuracy arm from its data set to its result: set up, train, evaluate, describe.

Runs in a worker process, or in every process that `torchrun` started: all do the same work, and
only the leader writes files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bench.count.outputs import AUXILIARY_WEIGHT
from bench.errors import UsageError
from bench.measure import memory
from bench.measure.subject import Execution, apply
from bench.plugins import open_data
from bench.plugins.recipe import Recipe, changed, recipes
from bench.record.arms import AccuracyArm
from bench.training import checkpoint
from bench.training.evaluate import Result, evaluate, view_of
from bench.training.images.batches import feed_of
from bench.training.images.files import Files
from bench.training.images.showing import View
from bench.training.images.splits import Part, Splits, commonest, fewer
from bench.training.log import Log
from bench.training.loop import Curve, Training
from bench.training.processes import ALONE, Share, World
from bench.training.surgery import at_test_size, drop_paths


@dataclass
class Trained:
    """The outcome of a training run; `detail` contains further fields of its record."""

    result: Result
    curve: Curve
    detail: dict[str, Any]


def recipe_of(arm: AccuracyArm) -> Recipe:
    """Return the recipe of an arm, with the learning rate and epochs that the arm sets itself."""
    assert arm.recipe is not None
    own: dict[str, float] = {}
    if arm.learning_rate is not None:
        own["learning_rate"] = arm.learning_rate
    if arm.epochs is not None:
        own["epochs"] = arm.epochs
    return changed(recipes.get(arm.recipe), **own)


def train_and_evaluate(
    arm: AccuracyArm,
    *,
    build: Callable[[int], nn.Module],
    device: torch.device,
    seed: int,
    workers: int,
    data: str | None = None,
    files: Files | None = None,
    world: World = ALONE,
    tell: Callable[[str], None] = lambda text: None,
) -> Trained:
    """Train an arm's model and evaluate it once, on the arm's split of its data set.

    Args:
        arm: The configuration to train.
        build: Returns the model for a side of its images in pixels.
        device: Where to train.
        seed: Of every random draw.
        workers: Processes that read images from disk.
        data: How to open the data set, if that differs from `arm.data`.
        files: Where to keep the checkpoint, the weights and the log; None keeps nothing.
        world: This process's place among those that train the model together.
        tell: Receives lines of progress.

    Raises Diverged, UsageError or NotImplementedError.
    """
    recipe = recipe_of(arm)
    tell("opening the images")
    session = Session(
        arm=arm,
        recipe=recipe,
        splits=fewer(open_data(data or arm.data), recipe.data_share),
        build=build,
        device=device,
        seed=seed,
        workers=workers,
        files=files,
        world=world,
        tell=tell,
    )
    return session.run()


@dataclass(frozen=True, kw_only=True)
class Session:
    """Everything that a training run needs; `train_and_evaluate` describes the fields."""

    arm: AccuracyArm
    recipe: Recipe
    splits: Splits
    build: Callable[[int], nn.Module]
    device: torch.device
    seed: int
    workers: int
    files: Files | None
    world: World
    tell: Callable[[str], None]

    def run(self) -> Trained:
        """Train, evaluate, and keep the weights."""
        training = self.set_up()
        before = memory.before(str(self.device), pages="all")
        memory.reset_peak(str(self.device))
        self.resume(training)
        with self._log(training) as log:
            log.start(self.arm, training.step, self.splits.name, self.world)
            training.watch = log.watch
            curve = training.go()
            peak_bytes = memory.peak(str(self.device), before, pages="all")
            model = at_test_size(self.arm, training.result, self.recipe, self.build)
            result = self.test(model.to(self.device), training.execution)
            log.end(result)
        if self.files and self.world.leads:
            checkpoint.save(self.files.weights, dict(model.state_dict()), self._metadata())
        return Trained(result, curve, self.describe(training, result, peak_bytes))

    def set_up(self) -> Training:
        """Build the model, its feed of images and its optimizer."""
        share = self.world.share(self.recipe, self.device)
        model = self._model(share)
        feed = feed_of(
            self.splits,
            self.recipe,
            seed=self.seed,
            share=share,
            device=self.device,
            image_size=self._size,
            workers=self.workers,
        )
        execution = self._execution(model)
        steps = max(1, round(self.recipe.epochs * feed.steps_per_epoch))
        return Training(
            model=model,
            execution=execution,
            feed=feed,
            recipe=self.recipe,
            steps=steps,
            seed=self.seed,
            device=self.device,
            world=self.world,
            look=lambda model: self._validate(model, execution),
            save_to=self.files.checkpoint if self.files else None,
            identity=self._identity(steps),
        )

    def resume(self, training: Training) -> None:
        """Continue from the checkpoint if there is one.

        Raises UsageError if the processes that train together do not all see the same one.
        """
        training.resume()
        if len(set(self.world.gather(training.step))) > 1:
            raise UsageError(
                f"--results: not every process sees {training.save_to}; to train on several "
                "machines, choose a folder that they share"
            )

    def test(self, model: nn.Module, execution: Execution) -> Result:
        """Evaluate the trained model on the split that the arm names."""
        part = self.splits.test if self.arm.split == "test" else self.splits.select
        view = view_of(self.recipe, self.splits, self.arm.image_size)
        return self._evaluate(model, part, view, execution, "evaluating")

    def describe(
        self, training: Training, result: Result, peak_bytes: int | None
    ) -> dict[str, Any]:
        """Return the fields of the record that describe the training run."""
        steps, seconds = training.steps, training.seconds
        images = steps * self.recipe.batch_size
        detail: dict[str, Any] = {
            "train_s": seconds,
            "epochs": steps / training.feed.steps_per_epoch,
            "steps": steps,
            "images_per_s": images / seconds if seconds else 0.0,
            "peak_memory_bytes": peak_bytes,
            "final_loss": training.curve.loss[-1],
            "split": self.splits.name,
            "mean": list(self.splits.mean),
            "std": list(self.splits.std),
            "processes": self.world.size,
        }
        if training.auxiliary:
            detail["auxiliary_heads"] = training.auxiliary
            detail["auxiliary_weight"] = AUXILIARY_WEIGHT
        detail["commonest_class"] = commonest(self.splits)
        detail["unreadable"] = result.broken + training.feed.unreadable()
        return detail

    @property
    def _size(self) -> int:
        """Side of the training images in pixels."""
        return self.recipe.image_size or self.arm.image_size

    def _model(self, share: Share) -> nn.Module:
        model = self.build(self._size)
        drop_paths(model, self.recipe.drop_path, name=self.arm.model)
        model.to(self.device)
        if share.together is None:
            return model
        group = _process_group(self.world, share.together)
        synchronized: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model, group)
        return synchronized

    def _execution(self, model: nn.Module) -> Execution:
        """Return the model's forward pass with the arm's policies applied."""
        execution = Execution(
            model=model,
            inputs=torch.zeros(2, 3, self._size, self._size, device=self.device),
            device=str(self.device),
            mode="training",
            classes=self.arm.num_classes,
        )
        apply(self.arm.policy or "fp32", execution)
        return execution

    def _identity(self, steps: int) -> dict[str, Any]:
        """Return what a checkpoint must contain to be continued by this training run."""
        return {
            "arm": self.files.stem if self.files else "",
            "recipe": self.recipe.hash,
            "steps": steps,
            "seed": self.seed,
            "split": self.splits.name,
        }

    def _metadata(self) -> dict[str, Any]:
        """Return what the file of weights contains besides them, to be evaluated again."""
        view = view_of(self.recipe, self.splits, self.arm.image_size)
        return {
            "model": self.arm.model,
            "image_size": self.arm.image_size,
            "num_classes": self.arm.num_classes,
            "recipe": self.recipe.name,
            "data": self.arm.data,
            "seed": self.arm.seed,
            "view": {
                "crop": view.crop,
                "interpolation": view.interpolation,
                "mean": view.mean,
                "std": view.std,
            },
        }

    def _log(self, training: Training) -> Log:
        files = self.files if self.world.leads else None
        return Log(files, training.steps, self.recipe, training.feed.steps_per_epoch, self.tell)

    def _validate(self, model: nn.Module, execution: Execution) -> float:
        """Return the top-1 on the validation split, at the training images' size."""
        view = view_of(self.recipe, self.splits, self._size)
        return self._evaluate(model, self.splits.select, view, execution, "validating").top1

    def _evaluate(
        self, model: nn.Module, part: Part, view: View, execution: Execution, doing: str
    ) -> Result:
        return evaluate(
            model,
            part,
            view,
            device=self.device,
            workers=self.workers,
            world=self.world,
            within=execution.within,
            progress=lambda done, total: self.tell(f"{doing}, {done} of {total} images"),
        )


def _process_group(world: World, together: int) -> Any:
    """Return the group of processes that share this one's micro-batch; every process makes all."""
    groups = []
    for first in range(0, world.size, together):
        ranks = list(range(first, first + together))
        groups.append(torch.distributed.new_group(ranks))
    return groups[world.rank // together]
