"""A user's own models in a run: their image size, their number of classes, their names in reports.

`./net.py:build` says neither at which size it is meant to run nor what a paper calls it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from bench.config import RunConfig
from bench.errors import UsageError, visible
from bench.files import limits
from bench.plan.wish import Named, distinct
from bench.plugins import Model, dataset_of, models


def fitted(config: RunConfig, named: list[Named]) -> list[Named]:
    """Return the models, own ones with the image size and number of classes of the others.

    If the others differ, own models keep the usual ones; if there are no others, the images of
    --data have a size.
    """
    shape = _shape_of_others(config, named)
    return [(replace(model, **shape) if model.users else model, tag) for model, tag in named]


def _shape_of_others(config: RunConfig, named: list[Named]) -> dict[str, Any]:
    others = [model for model in distinct(named) if not model.users]
    sizes = {model.image_size for model in others}
    classes = {model.num_classes for model in others}
    if not others and config.data is not None:
        sizes = {dataset_of(config.data)[0].image_size or Model.image_size}
    shape = {}
    if len(sizes) == 1:
        shape["image_size"] = sizes.pop()
    if len(classes) == 1:
        shape["num_classes"] = classes.pop()
    return shape


def sizing_notes(config: RunConfig, named: list[Named]) -> Iterator[str]:
    """Yield at which size own models run, unless it was asked for; `named` are fitted."""
    every = distinct(named)
    own = [model for model in every if model.users]
    if not own or config.image_size:
        return
    size, classes = own[0].image_size, own[0].num_classes
    others_classes = config.num_classes is None and classes != Model.num_classes
    if size != Model.image_size or others_classes:
        shape = f"{size} pixels" + (f" and {classes} classes" if others_classes else "")
        whose = "the other models" if len(own) < len(every) else "the images of --data"
        yield f"{_listed(own)}: {shape}, like {whose}; --image-size N for another size"
    by_size: dict[int, list[Model]] = {}
    for model in every:
        by_size.setdefault(model.image_size, []).append(model)
    if len(by_size) > 1:
        parts = "; ".join(f"{size} pixels for {_listed(found)}" for size, found in by_size.items())
        yield f"no ratios between image sizes: {parts}; --image-size {size} makes them equal"


def _listed(found: list[Model]) -> str:
    return ", ".join(model.name for model in found)


# Names in reports


def names_for(config: RunConfig, named: list[Named]) -> dict[str, str]:
    """Return the names of `--name` for reports, by model.

    NAME=MODEL names any model; a name alone is for an own one, several in their order.

    Raises UsageError for a name that cannot be shown, that is another model's, or of no model.
    """
    every = distinct(named)
    own = [model.name for model in every if model.users]
    names: dict[str, str] = {}
    alone: list[str] = []
    for text in config.name:
        name, model = _split(text, [model.name for model in every])
        if model is None:
            alone.append(name)
            continue
        if model in names:
            raise UsageError(f"--name: {model} has two names, {names[model]} and {visible(name)}")
        names[model] = name
    left = [model for model in own if model not in names]
    if alone and len(alone) != len(left):
        raise UsageError(_does_not_match(alone, left))
    names |= dict(zip(left, alone, strict=False))
    _check(names)
    return names


def _split(text: str, known: list[str]) -> tuple[str, str | None]:
    """Return name and model of NAME=MODEL; no model for a name alone."""
    if "=" not in text:
        return text, None
    for model in known:
        if text.endswith(f"={model}"):
            return text.removesuffix(f"={model}").strip(), model
    model = text.partition("=")[2]
    raise UsageError(
        f"--name: {visible(text)} names {visible(model)}, which is no model of this run; "
        f"there are {', '.join(known)}"
    )


def _does_not_match(alone: list[str], own: list[str]) -> str:
    """Return the error for names that do not tell which models they are for."""
    if not own:
        return (
            f"--name: which model is {visible(alone[0])}? A name alone is for a model of your own; "
            f'write "{visible(alone[0])}=MODEL" for another one'
        )
    count = f"{len(alone)} name{'s' if len(alone) > 1 else ''} for {len(own)} of your own models"
    return f"--name: {count} ({', '.join(own)}); give one for each, in their order, or NAME=MODEL"


def _check(names: dict[str, str]) -> None:
    """Raise UsageError for a name that cannot be shown, or that does not tell models apart."""
    seen: dict[str, str] = {}
    for model, name in names.items():
        if not name or len(name) > limits.NAME or not name.isprintable() or visible(name) != name:
            raise UsageError(
                f"--name: must be 1 to {limits.NAME} printable characters, got "
                f"{name[: limits.NAME]!a} for {model}"
            )
        if name in seen:
            raise UsageError(
                f"--name: {name} is given to {seen[name]} and to {model}; "
                "give each model a name of its own"
            )
        if name != model and name in models.names():
            raise UsageError(
                f"--name: {name} is the name of another model; choose one that is not listed by "
                "`bench list models`"
            )
        seen[name] = model
