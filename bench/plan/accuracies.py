"""From what was asked to accuracy arms: what is evaluated, what is trained, with which seeds, rates and schedules.

Some arms can only be named once others are finished: a searched rate needs its trials, a schedule stretched to equal
seconds needs the speeds of a training step. `wanted` is therefore asked again and again with what is known; it is a
function of that alone, so a run that was killed names the same arms again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import msgspec

from bench.config import RunConfig
from bench.count.cost import cost_in_closed_form, cost_of
from bench.errors import UsageError, one_line
from bench.files import files
from bench.measure.own_models import source_of
from bench.measure.subject import SPEED_SETTINGS
from bench.plan.task import Task, about_of
from bench.plugins import (
    Dataset,
    Metric,
    Model,
    dataset_of,
    metrics,
    models,
    open_data,
    policies,
    runnable_policy,
)
from bench.plugins.recipe import Recipe, recipes
from bench.record.arms import NORMALISED, AccuracyArm, Arm, SpeedArm
from bench.record.schema import About, Scalar
from bench.stats import lr_search
from bench.training.images.views import Shown, shown
from bench.training.published import weights
from bench.training.weights_file import WeightsMetadata, metadata_of

ACCURACY_SETTINGS: dict[str, Scalar] = {
    "protocol": 2,
    "reported": "last checkpoint, or the recipe's moving average; test split read once",
}
TIMMS = "timm's for these weights"
"""The transform of published weights shown as timm does, at whatever image size."""
TRAIN_POLICY = {"cpu": "fp32", "cuda": "bf16+channels_last", "mps": "fp32"}

Known = Callable[[Task], float | None]
"""What is known of a task: its value (top-1, or images a second), -1 where it failed, None where it is not finished."""


@dataclass(frozen=True)
class Wish:
    """What is asked of accuracies: the models with their weight tags, on which device, under which settings."""

    config: RunConfig
    named: list[tuple[Model, str | None]]
    asked: tuple[Metric, ...]
    kind: str

    @property
    def data(self) -> str:
        """What `--data` says; there is no wish without it."""
        assert self.config.data is not None
        return self.config.data

    @cached_property
    def images(self) -> str:
        """What records call the data."""
        dataset, argument = dataset_of(self.data)
        known = dataset.identity(argument)
        return f"{dataset.name}:{known}" if known else dataset.name

    @property
    def dataset(self) -> Dataset:
        return dataset_of(self.data)[0]

    @cached_property
    def num_classes(self) -> int:
        """Some data sets have to be opened to know."""
        dataset, argument = dataset_of(self.data)
        return dataset.num_classes(argument)

    @cached_property
    def digest(self) -> str | None:
        """Sixteen hex digits over the file of weights, where one is given, and the entry chosen of it: another is another arm."""
        if (path := self.config.checkpoint) is None:
            return None
        try:
            digest = hashlib.sha256(files.read(path)).hexdigest()[:16]
        except OSError as error:
            raise UsageError(f"--checkpoint: {path} cannot be read ({error.strerror})") from None
        key = self.config.checkpoint_key
        return digest if key is None else f"{digest}/{key.strip('/')}"

    @cached_property
    def says(self) -> WeightsMetadata:
        """What the file of weights says of itself."""
        return metadata_of(self.config.checkpoint) if self.config.checkpoint else WeightsMetadata()

    @property
    def recipe(self) -> Recipe | None:
        """The recipe that is trained under; None: weights are evaluated."""
        if self.config.checkpoint is not None:
            return None
        name = self.config.recipe or self.dataset.recipe
        return recipes.get(name) if name else None

    @property
    def policy(self) -> str:
        """How trainings are executed, its switches in their order."""
        policy = runnable_policy(
            self.config.train_policy or TRAIN_POLICY[self.kind], self.kind, flag="--train-policy"
        )
        for name in policy.split("+"):
            if policies.get(name).inference_only:
                raise UsageError(
                    f"--train-policy: {name} is for inference; fp32, bf16, fp16, channels_last and compile train"
                )
        return policy


def wanted(wish: Wish, known: Known) -> list[Task]:
    """Every arm that can be named by now; the same list with nothing new in it once all are finished."""
    dataset, argument = dataset_of(wish.data)
    dataset.check(argument)
    others = wish.recipe is not None or wish.config.checkpoint is not None
    if others and (tagged := [f"{model.name}@{tag}" for model, tag in wish.named if tag]):
        instead = (
            "--checkpoint has them" if wish.config.checkpoint else f"{wish.data} is trained on"
        )
        raise UsageError(
            f"--models: {tagged[0]} names published weights, and {instead}; {tagged[0].partition('@')[0]} would work"
        )
    if wish.recipe is not None and wish.config.view:
        raise UsageError(_not_of_a_training(wish.recipe, next(iter(wish.config.view))))
    if wish.recipe is None:
        return list(_evaluations(wish))
    return list(_trainings(wish, wish.recipe, known))


def _not_of_a_training(recipe: Recipe, field: str) -> str:
    """Why a flag of a view is refused where models are trained."""
    own = {"crop": "eval_crop", "interpolation": "eval_interpolation"}.get(field)
    instead = f"--recipe {recipe.name}:{own}=... says it" if own else "drop it"
    return f"--{field.replace('_', '-')}: is for weights that are evaluated, and a training is tested as its recipe says; {instead}"


def notes(wish: Wish, *, measured: bool) -> Iterator[str]:
    """What the user has to know: how images are shown to weights, and which models have no top-1.

    `measured` says whether anything else is measured of these; UsageError where nothing is.
    """
    if wish.recipe is None:
        for task in _evaluations(wish):
            assert isinstance(task.arm, AccuracyArm)
            yield f"{task.arm.model} is shown images at {view_of(wish, task.arm).text}"
    elif unfit := [model for model in _distinct(wish) if model not in _fitting(wish)]:
        size, name = wish.dataset.image_size, wish.dataset.name
        names = ", ".join(model.name for model in unfit)
        why = f"{name} has {size} x {size} images, for which --image-size {size} builds a model"
        if not measured:
            raise UsageError(f"--models: {names} cannot be trained: {why}; or leave out {names}")
        yield f"no top-1 of {names}: {why}"


def _evaluations(wish: Wish) -> Iterator[Task]:
    """Published weights, or a file's."""
    config, dataset = wish.config, wish.dataset
    for model, tag in wish.named:
        size = config.one_size or wish.says.image_size or dataset.image_size or model.image_size
        arm = AccuracyArm(
            model=model.name,
            source=source_of(model, image_size=size, num_classes=wish.num_classes),
            image_size=size,
            num_classes=wish.num_classes,
            data=wish.images,
            split="test",
            transform=TIMMS,
            weights=None if config.checkpoint else _tag(wish, model, tag),
            checkpoint=wish.digest,
            labels=config.labels,
        )
        if arm.weights is not None and arm.image_size != model.image_size:
            refuse_size(model, arm.image_size, classes=wish.num_classes)
        if arm.weights is None or config.view:
            arm = msgspec.structs.replace(arm, transform=view_of(wish, arm).key)
        yield _task(wish, arm, about_of(model, dataset.caveat), config.seed)


def view_of(wish: Wish, arm: AccuracyArm) -> Shown:
    """How images are shown to an arm's weights."""
    says = wish.says if wish.config.checkpoint else None
    return shown(
        models.get(arm.model),
        wish.dataset,
        size=arm.image_size,
        tag=arm.weights,
        says=says,
        asked=wish.config.view,
    )


def refuse_size(model: Model, size: int, *, classes: int) -> None:
    """UsageError where published weights cannot be shown images of another size: more than their positions is of one size."""
    import torch

    try:
        with torch.device("meta"):
            own, other = (
                model.build(image_size=side, num_classes=classes).state_dict()
                for side in (model.image_size, size)
            )
    except (RuntimeError, AssertionError, TypeError) as error:
        raise UsageError(
            f"--image-size: {model.name} cannot be built for {size} pixels ({one_line(error)}); drop it"
        ) from None
    tied = [
        name
        for name in own
        if other[name].shape != own[name].shape and not name.endswith("pos_embed")
    ]
    if tied:
        raise UsageError(
            f"--image-size: the weights of {model.name} are for {model.image_size} pixels ({tied[0]} is of that size); drop {size}"
        )


def _tag(wish: Wish, model: Model, tag: str | None) -> str:
    """The tag of the weights; UsageError where there are none, or several and none was named."""
    if not wish.dataset.published:
        raise UsageError(
            f"--data: there are no published weights for {wish.dataset.name}; "
            "add --recipe to train (`bench list recipes`), or --checkpoint FILE"
        )
    known = list(weights(model))
    if not known:
        raise UsageError(
            f"--data: {model.name} has no published weights to evaluate on {wish.dataset.name}; "
            "leave it out of --models, or train with --recipe"
        )
    if tag is None and len(known) == 1:
        return known[0]
    if tag not in known:
        asked = f"no weights {tag!r}" if tag else "several weights"
        raise UsageError(
            f"--models: {model.name} has {asked}; name one: {', '.join(f'{model.name}@{name}' for name in known)}"
        )
    return tag


def _trainings(wish: Wish, recipe: Recipe, known: Known) -> Iterator[Task]:
    config, dataset = wish.config, wish.dataset
    if config.one_size is not None and recipe.image_size not in (None, config.one_size):
        raise UsageError(
            f"--image-size: {recipe.name} trains at {recipe.image_size} pixels, and {config.one_size} would be for testing alone; "
            f"leave --image-size out, or train at it as well: --recipe {recipe.name}:image_size={config.one_size}"
        )
    fitting = _fitting(wish)
    stretched: dict[str, float | None] = dict.fromkeys((model.name for model in fitting), None)
    if config.equalise == "macs":
        macs = {
            model.name: cost_of(
                model, image_size=_size(wish, model), num_classes=wish.num_classes
            ).macs
            for model in fitting
        }
        stretched = {
            name: _epochs(recipe, macs[fitting[0].name] / found) for name, found in macs.items()
        }
    elif config.equalise == "seconds":
        speeds = {model.name: _step_speed(wish, recipe, model) for model in fitting}
        yield from speeds.values()
        found = {name: known(task) for name, task in speeds.items()}
        if any(value is None or value <= 0 for value in found.values()):
            return
        stretched = {
            name: _epochs(recipe, (value or 1) / (found[fitting[0].name] or 1))
            for name, value in found.items()
        }
    for model in fitting:
        yield from _trainings_of(wish, recipe, model, stretched[model.name], known)
    for name in dataset.baselines:
        arm = AccuracyArm(
            model=name,
            image_size=dataset.image_size or 0,
            num_classes=wish.num_classes,
            data=wish.images,
            split="test",
            transform="as loaded",
        )
        yield _task(
            wish, arm, About(family="baseline", summary="no network", caveat=dataset.caveat), 0
        )


def _trainings_of(
    wish: Wish, recipe: Recipe, model: Model, epochs: float | None, known: Known
) -> Iterator[Task]:
    """One model's trainings: with a search its trials first, then every seed."""
    config, tuning, rate = wish.config, lr_search.AS_IS, None
    common = AccuracyArm(
        model=model.name,
        source=source_of(
            model,
            image_size=recipe.image_size or _size(wish, model),
            num_classes=wish.num_classes,
            use="training",
        ),
        image_size=_size(wish, model),
        num_classes=wish.num_classes,
        data=wish.images,
        split="test",
        transform=f"crop {recipe.eval_crop:g}, {recipe.eval_interpolation}, {_normalised(wish.dataset)}",
        recipe=recipe.name,
        recipe_hash=recipe.hash,
        equalise=config.equalise,
        epochs=epochs,
        policy=wish.policy,
    )
    about = about_of(model, wish.dataset.caveat)
    if config.lr_search:

        def trial(factor: float) -> Task:
            arm = msgspec.structs.replace(
                common,
                split="select",
                tuning=lr_search.TRIAL,
                learning_rate=_rate(recipe, factor),
                seed=config.seed,
            )
            return _task(wish, arm, about, config.seed)

        scores: dict[float, float] = {}
        for factors in (lr_search.grid(), None):
            more = factors if factors is not None else lr_search.extension(scores)
            trials = {factor: trial(factor) for factor in more}
            yield from trials.values()
            found = {factor: known(task) for factor, task in trials.items()}
            if any(value is None for value in found.values()):
                return
            scores |= {factor: value for factor, value in found.items() if value is not None}
        tuning, rate = lr_search.PROTOCOL, _rate(recipe, lr_search.best(scores))
    for seed in range(config.seed, config.seed + config.seeds):
        yield _task(
            wish,
            msgspec.structs.replace(common, tuning=tuning, learning_rate=rate, seed=seed),
            about,
            seed,
        )


def _normalised(dataset: Dataset) -> str:
    """By what images are normalised, as far as it is known before they are opened; the numbers stand in the record."""
    return "normalised by the training split" if dataset.image_size is not None else NORMALISED


def _distinct(wish: Wish) -> list[Model]:
    """The models without their tags, each once."""
    return list({model.name: model for model, _ in wish.named}.values())


def _fitting(wish: Wish) -> list[Model]:
    """The models that take the data set's images."""
    named = _distinct(wish)
    size = wish.dataset.image_size
    if size is None:
        return named
    fitting = [model for model in named if (wish.config.one_size or model.image_size) == size]
    if not fitting:
        raise UsageError(
            f"--data: {wish.dataset.name} has {size} x {size} images and none of the models takes them; "
            f"add --image-size {size} or leave --data away"
        )
    return fitting


def _size(wish: Wish, model: Model) -> int:
    return wish.dataset.image_size or wish.config.one_size or model.image_size


def _rate(recipe: Recipe, factor: float) -> float:
    """A factor of the recipe's rate, as it is written in records."""
    return float(f"{recipe.learning_rate * factor:.6g}")


def _epochs(recipe: Recipe, ratio: float) -> float | None:
    """The recipe's epochs stretched; None where they stay."""
    epochs = float(f"{recipe.epochs * ratio:.6g}")
    return None if epochs == recipe.epochs else epochs


def _step_speed(wish: Wish, recipe: Recipe, model: Model) -> Task:
    """The arm whose speed says how long a training takes."""
    size = recipe.image_size or _size(wish, model)
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


def _task(wish: Wish, arm: Arm, about: About, seed: int) -> Task:
    return Task(arm=arm, metrics=wish.asked, settings=ACCURACY_SETTINGS, about=about, seed=seed)


def how(tasks: list[Task]) -> str:
    """Under which recipes trainings run and at which sizes of images, for people."""
    arms = [
        task.arm
        for task in tasks
        if isinstance(task.arm, AccuracyArm) and task.arm.recipe is not None
    ]
    named = dict.fromkeys(str(arm.recipe) for arm in arms)
    sizes = dict.fromkeys(
        (recipes.get(str(arm.recipe)).image_size or arm.image_size, arm.image_size) for arm in arms
    )
    words = [
        f"{trained} pixels" if trained == tested else f"{trained} pixels, tested at {tested}"
        for trained, tested in sizes
    ]
    return f"{', '.join(named)} at {'; '.join(words)}"


@lru_cache
def tested_images(data: str) -> int | None:
    """How many images published weights are evaluated on; None where the data set has other classes than theirs."""
    return len(open_data(data).test) if dataset_of(data)[0].published else None


@lru_cache
def _training_images(data: str) -> int:
    """How many there are; opening a data set takes its time, and every estimate of a queue asks."""
    return len(open_data(data).train)


def hours(tasks: list[Task], rate: float, data: str | None) -> float:
    """Device hours of trainings on `data`, at `rate` multiply-adds a second: three forward passes' worth per image and epoch."""
    total = 0.0
    for task in tasks:
        arm = task.arm
        if not isinstance(arm, AccuracyArm) or arm.recipe is None:
            continue
        images = _training_images(data or arm.data)
        recipe = recipes.get(arm.recipe)
        entry, size = models.get(arm.model), recipe.image_size or arm.image_size
        try:
            macs = cost_in_closed_form(entry, image_size=size, num_classes=arm.num_classes).macs
        except Exception:  # somebody's model that can't be built without memory; its arm says so if it can't be built at all
            continue
        total += 3 * macs * images * (arm.epochs or recipe.epochs) / rate / 3600
    return total
