"""The training runs that a run asks for, with their seeds, learning rates and schedules.

Some of them can be named only when others have finished: a searched learning rate needs its trials,
and a schedule stretched to equal seconds needs the speed of a training step. `trainings` is
therefore called again and again with the results so far. It depends on nothing else, so a run that
was killed names the same arms again.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TypeVar

from msgspec.structs import replace

from bench.count.cost import cost_in_closed_form, cost_of
from bench.errors import UsageError
from bench.measure.own_models import source_of
from bench.measure.subject import SPEED_SETTINGS
from bench.plan.task import Task, about_of
from bench.plan.wish import Known, Wish, distinct
from bench.plugins import Dataset, Model, metrics, models, open_data
from bench.plugins.recipe import Recipe, recipes
from bench.record.arms import NORMALISED, AccuracyArm, SpeedArm
from bench.record.schema import About
from bench.stats import lr_search

Name = TypeVar("Name")


def trainings(wish: Wish, recipe: Recipe, known: Known) -> Iterator[Task]:
    """Yield every training run that can be named by now, and the data set's baselines.

    Raises UsageError if the image sizes of the models, the data and the recipe do not agree.
    """
    _check_size(wish, recipe)
    fitting = fitting_models(wish)
    epochs: Mapping[str, float | None] = {}
    if wish.config.equalise == "macs":
        epochs = _equal_macs(wish, recipe, fitting)
    elif wish.config.equalise == "seconds":
        steps = {model.name: _step_speed(wish, recipe, model) for model in fitting}
        yield from steps.values()
        speeds = _results(steps, known)
        if speeds is None or min(speeds.values()) <= 0:
            return
        first = speeds[fitting[0].name]
        epochs = {name: _epochs(recipe, speed / first) for name, speed in speeds.items()}
    for model in fitting:
        yield from _trainings_of(wish, recipe, model, epochs.get(model.name), known)
    yield from _baselines(wish)


def _check_size(wish: Wish, recipe: Recipe) -> None:
    """Raise UsageError if --image-size and the recipe ask for different training images."""
    size = wish.config.one_size
    if size is not None and recipe.image_size not in (None, size):
        raise UsageError(
            f"--image-size: {recipe.name} trains at {recipe.image_size} pixels, "
            f"and {size} would be for testing alone; leave --image-size out, "
            f"or train at it as well: --recipe {recipe.name}:image_size={size}"
        )


def fitting_models(wish: Wish) -> list[Model]:
    """Return the models whose image size is the data set's, or all if it has none.

    Raises UsageError if there is no such model.
    """
    named = distinct(wish.named)
    size = wish.dataset.image_size
    if size is None:
        return named
    fitting = [model for model in named if (wish.config.one_size or model.image_size) == size]
    if not fitting:
        raise UsageError(
            f"--data: {wish.dataset.name} has {size} x {size} images, and none of the models "
            f"takes them; add --image-size {size} or drop --data"
        )
    return fitting


def _results(tasks: Mapping[Name, Task], known: Known) -> dict[Name, float] | None:
    """Return the results of tasks by name; None if one has not finished."""
    results = {}
    for name, task in tasks.items():
        result = known(task)
        if result is None:
            return None
        results[name] = result
    return results


# Schedules


def _equal_macs(wish: Wish, recipe: Recipe, fitting: list[Model]) -> dict[str, float | None]:
    """Return the epochs of each model that cost the first model's multiply-adds."""
    macs = {}
    for model in fitting:
        cost = cost_of(model, image_size=wish.size_of(model), num_classes=wish.num_classes)
        macs[model.name] = cost.macs
    first = macs[fitting[0].name]
    return {name: _epochs(recipe, first / own) for name, own in macs.items()}


def _epochs(recipe: Recipe, ratio: float) -> float | None:
    """Return the recipe's epochs times `ratio`; None if that is as many."""
    epochs = float(f"{recipe.epochs * ratio:.6g}")
    return None if epochs == recipe.epochs else epochs


def _step_speed(wish: Wish, recipe: Recipe, model: Model) -> Task:
    """Return the task that times a model's training step, which says how long training takes."""
    size = recipe.image_size or wish.size_of(model)
    arm = SpeedArm(
        model=model.name,
        source=source_of(model, image_size=size, num_classes=wish.num_classes, use="training"),
        image_size=size,
        num_classes=wish.num_classes,
        policy=wish.policy,
        device=wish.kind,
        batch_size=recipe.micro_batch,
        mode="training",
    )
    return Task(
        arm=arm,
        metrics=(metrics.get("train_throughput"),),
        settings=SPEED_SETTINGS,
        about=about_of(model),
        seed=wish.config.seed,
    )


# Arms


def _trainings_of(
    wish: Wish, recipe: Recipe, model: Model, epochs: float | None, known: Known
) -> Iterator[Task]:
    """Yield one model's training runs: the trials of a search, if asked for, then every seed."""
    arm = _training_arm(wish, recipe, model, epochs)
    about = about_of(model, wish.dataset.caveat)
    first_seed = wish.config.seed
    if wish.config.lr_search:
        scores = yield from _search(wish, recipe, arm, about, known)
        if scores is None:
            return
        rate = _rate(recipe, lr_search.best(scores))
        arm = replace(arm, tuning=lr_search.PROTOCOL, learning_rate=rate)
    for seed in range(first_seed, first_seed + wish.config.seeds):
        yield wish.task(replace(arm, seed=seed), about, seed)


def _search(
    wish: Wish, recipe: Recipe, arm: AccuracyArm, about: About, known: Known
) -> Generator[Task, None, dict[float, float] | None]:
    """Yield the trials of a learning-rate search: the grid, then its extension, if any.

    Returns the scores by factor of the recipe's rate; None if a trial has not finished.
    """
    seed = wish.config.seed
    scores: dict[float, float] = {}
    for extended in (False, True):
        trials = {}
        for factor in lr_search.extension(scores) if extended else lr_search.grid():
            trial = replace(
                arm,
                split="select",
                tuning=lr_search.TRIAL,
                learning_rate=_rate(recipe, factor),
                seed=seed,
            )
            trials[factor] = wish.task(trial, about, seed)
        yield from trials.values()
        results = _results(trials, known)
        if results is None:
            return None
        scores |= results
    return scores


def _training_arm(wish: Wish, recipe: Recipe, model: Model, epochs: float | None) -> AccuracyArm:
    """Return the arm that a model's training runs have in common, without a seed."""
    size, classes = wish.size_of(model), wish.num_classes
    trained_at = recipe.image_size or size
    crop = f"crop {recipe.eval_crop:g}, {recipe.eval_interpolation}"
    return AccuracyArm(
        model=model.name,
        source=source_of(model, image_size=trained_at, num_classes=classes, use="training"),
        image_size=size,
        num_classes=classes,
        data=wish.images,
        split="test",
        transform=f"{crop}, {_normalised(wish.dataset)}",
        recipe=recipe.name,
        recipe_hash=recipe.hash,
        tuning=lr_search.AS_IS,
        equalise=wish.config.equalise,
        epochs=epochs,
        policy=wish.policy,
    )


def _normalised(dataset: Dataset) -> str:
    """Return by what images are normalised, as far as that is known before they are opened.

    The values themselves are stored in the sample.
    """
    return "normalised by the training split" if dataset.image_size is not None else NORMALISED


def _rate(recipe: Recipe, factor: float) -> float:
    """Return a factor of the recipe's learning rate, rounded as in records."""
    return float(f"{recipe.learning_rate * factor:.6g}")


def _baselines(wish: Wish) -> Iterator[Task]:
    """Yield the data set's reference rows without a network."""
    dataset = wish.dataset
    about = About(family="baseline", summary="no network", caveat=dataset.caveat)
    for name in dataset.baselines:
        arm = AccuracyArm(
            model=name,
            image_size=dataset.image_size or 0,
            num_classes=wish.num_classes,
            data=wish.images,
            split="test",
            transform="as loaded",
        )
        yield wish.task(arm, about, 0)


# What they are and take


def description(tasks: Iterable[Task]) -> str:
    """Return the recipes of training runs and the sizes of their images, for people."""
    names, sizes = [], []
    for task in tasks:
        arm = task.arm
        if isinstance(arm, AccuracyArm) and arm.recipe is not None:
            trained, tested = recipes.get(arm.recipe).image_size or arm.image_size, arm.image_size
            words = "" if trained == tested else f", tested at {tested}"
            names.append(arm.recipe)
            sizes.append(f"{trained} pixels{words}")
    return f"{', '.join(dict.fromkeys(names))} at {'; '.join(dict.fromkeys(sizes))}"


@lru_cache
def _training_images(data: str) -> int:
    """Return the number of training images, once per data set: opening one takes time."""
    return len(open_data(data).train)


def hours(tasks: Iterable[Task], rate: float, data: str | None) -> float:
    """Return the device hours of training runs on `data` at `rate` multiply-adds per second.

    An image costs three forward passes per epoch. Models that cannot be counted without memory are
    left out; their arms report the error when they are built.
    """
    seconds = 0.0
    for task in tasks:
        arm = task.arm
        if not isinstance(arm, AccuracyArm) or arm.recipe is None:
            continue
        images = _training_images(data or arm.data)
        recipe = recipes.get(arm.recipe)
        model, size = models.get(arm.model), recipe.image_size or arm.image_size
        try:
            macs = cost_in_closed_form(model, image_size=size, num_classes=arm.num_classes).macs
        except Exception:  # whatever the user's code raises
            continue
        seconds += 3 * macs * images * (arm.epochs or recipe.epochs) / rate
    return seconds / 3600
