"""Turn what was asked of accuracies into arms: weights to evaluate, or models to train."""

from __future__ import annotations

from collections.abc import Iterator

from bench.errors import UsageError
from bench.plan.evaluations import evaluations, view_of
from bench.plan.task import Task
from bench.plan.trainings import fitting_models, trainings
from bench.plan.wish import Known, Wish, distinct
from bench.plugins import dataset_of
from bench.plugins.recipe import Recipe
from bench.record.arms import AccuracyArm

RECIPE_FIELDS = {"crop": "eval_crop", "interpolation": "eval_interpolation"}
"""The fields of a recipe that correspond to flags of a view."""


def wanted(wish: Wish, known: Known) -> list[Task]:
    """Return every arm that can be named by now; see `bench.plan.trainings`.

    Raises UsageError if the data cannot be used or the flags contradict each other.
    """
    dataset, argument = dataset_of(wish.data)
    dataset.check(argument)
    if not wish.has_published_weights:
        _refuse_tags(wish)
    if wish.recipe is None:
        return list(evaluations(wish))
    if wish.config.view:
        raise UsageError(_view_of_training(wish.recipe, next(iter(wish.config.view))))
    return list(trainings(wish, wish.recipe, known))


def _refuse_tags(wish: Wish) -> None:
    """Raise UsageError if a model is named with a tag of published weights."""
    for model, tag in wish.named:
        if tag:
            instead = f"{wish.data} is trained on"
            if wish.config.checkpoint:
                instead = "--checkpoint has them"
            raise UsageError(
                f"--models: {model.name}@{tag} names published weights, and {instead}; "
                f"{model.name} would work"
            )


def _view_of_training(recipe: Recipe, field: str) -> str:
    """Return the error for a flag of a view with models that are trained."""
    instead = "drop it"
    if field in RECIPE_FIELDS:
        instead = f"use --recipe {recipe.name}:{RECIPE_FIELDS[field]}=..."
    flag = field.replace("_", "-")
    return (
        f"--{flag}: is for the evaluation of weights, and a trained model is tested as its recipe "
        f"says; {instead}"
    )


def _shown(wish: Wish, task: Task) -> str:
    """Return how images are shown to a model with weights, whatever the policy."""
    assert isinstance(task.arm, AccuracyArm)
    return f"{task.arm.model} is shown images at {view_of(wish, task.arm).text}"


def notes(wish: Wish, *, measured: bool) -> Iterator[str]:
    """Yield what the user has to know: how images are shown, and which models have no top-1.

    `measured` is true if other metrics of these models are measured.

    Raises UsageError if a model has no top-1 and nothing else of it is measured.
    """
    if wish.recipe is None:
        yield from dict.fromkeys(_shown(wish, task) for task in evaluations(wish))
        return
    fitting = fitting_models(wish)
    unfit = [model.name for model in distinct(wish.named) if model not in fitting]
    if unfit:
        size, names = wish.dataset.image_size, ", ".join(unfit)
        why = (
            f"{wish.dataset.name} has {size} x {size} images, "
            f"for which --image-size {size} builds a model"
        )
        if not measured:
            raise UsageError(f"--models: {names} cannot be trained: {why}; or leave out {names}")
        yield f"no top-1 of {names}: {why}"
