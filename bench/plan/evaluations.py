"""The evaluation of weights: published ones, or those of a file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import msgspec

from bench.errors import UsageError, one_line
from bench.measure.own_models import source_of
from bench.plan.task import Task, about_of
from bench.plan.wish import Wish
from bench.plugins import Model, dataset_of, models, open_data
from bench.record.arms import AccuracyArm
from bench.training.images.views import Shown, shown
from bench.training.published import weights

TIMMS = "timm's for these weights"
"""The `transform` of published weights whose images are shown as timm does, at any image size."""


def evaluations(wish: Wish) -> Iterator[Task]:
    """Yield the evaluation of every model's weights under every policy.

    Raises UsageError if there are no such weights, or if they do not fit the image size.
    """
    config, dataset = wish.config, wish.dataset
    for model, tag in wish.named:
        asked = config.one_size or wish.metadata.image_size
        size = asked or dataset.image_size or model.image_size
        arm = AccuracyArm(
            model=model.name,
            source=source_of(model, image_size=size, num_classes=wish.num_classes),
            image_size=size,
            num_classes=wish.num_classes,
            data=wish.images,
            split="test",
            transform=TIMMS,
            weights=_tag(wish, model, tag) if wish.has_published_weights else None,
            checkpoint=wish.checkpoint_digest,
            labels=config.labels,
        )
        if arm.weights is not None and size != model.image_size:
            refuse_size(model, size, classes=wish.num_classes)
        if arm.weights is None or config.view:
            arm = msgspec.structs.replace(arm, transform=view_of(wish, arm).key)
        for policy in wish.execution_policies:
            executed = msgspec.structs.replace(arm, policy=policy)
            yield wish.task(executed, about_of(model, dataset.caveat), config.seed)


def view_of(wish: Wish, arm: AccuracyArm) -> Shown:
    """Return how images are shown to an arm's weights."""
    return shown(
        models.get(arm.model),
        wish.dataset,
        size=arm.image_size,
        tag=arm.weights,
        says=wish.metadata if wish.config.checkpoint else None,
        asked=wish.config.view,
    )


def refuse_size(model: Model, size: int, *, classes: int) -> None:
    """Raise UsageError if a model's published weights do not fit images of `size` pixels.

    Only positional embeddings can be adapted; any other tensor must have the same shape.
    """
    import torch

    try:
        with torch.device("meta"):
            built = model.build(image_size=model.image_size, num_classes=classes)
            resized = model.build(image_size=size, num_classes=classes)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise UsageError(
            f"--image-size: {model.name} cannot be built for {size} pixels "
            f"({one_line(error)}); drop it"
        ) from None
    other = resized.state_dict()
    for name, tensor in built.state_dict().items():
        if other[name].shape != tensor.shape and not name.endswith("pos_embed"):
            raise UsageError(
                f"--image-size: the weights of {model.name} are for {model.image_size} pixels "
                f"({name} is of that size); drop {size}"
            )


def _tag(wish: Wish, model: Model, tag: str | None) -> str:
    """Return the tag of the weights to evaluate.

    Raises UsageError if the model has no published weights, not these, or several and none named.
    """
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
        names = ", ".join(f"{model.name}@{name}" for name in known)
        raise UsageError(f"--models: {model.name} has {asked}; name one: {names}")
    return tag


@lru_cache
def tested_images(data: str) -> int | None:
    """Return the number of images that published weights are evaluated on with `--data`.

    None if the classes of the data set are not those of published weights.
    """
    return len(open_data(data).test) if dataset_of(data)[0].published else None
