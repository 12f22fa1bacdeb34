"""The plug-ins that `bench list` shows, as plain values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from bench.analysis import published
from bench.analysis.rows import Quantity
from bench.errors import UsageError
from bench.plugins import kinds
from bench.plugins.recipe import Recipe, recipes
from bench.report.columns import header_of, place_of, table_scale

Kind = Literal[
    "models",
    "weights",
    "families",
    "metrics",
    "policies",
    "datasets",
    "recipes",
    "studies",
    "launchers",
    "figures",
]
Listed = dict[str, Any]
UNPUBLISHED: Listed = {
    "top1": None,
    "image_size": None,
    "epochs": None,
    "more_data": None,
    "teacher": None,
    "source": "not in the table of published accuracies",
}
"""Columns of weights without a known top-1."""


def catalogue(kind: Kind, *, family: str | None = None, name: str | None = None) -> list[Listed]:
    """Return one dict per plug-in of a kind, its name first.

    `family` limits models to one family. `name` is the model whose weights are listed.

    Raises UsageError if `family` or `name` does not fit the kind, or names nothing.
    """
    if family is not None and kind != "models":
        raise UsageError(f"--family: works with `list models`; drop it for `list {kind}`")
    if (name is not None) != (kind == "weights"):
        raise UsageError(
            "list: `list weights NAME` shows the published weights of one model; "
            "the other lists take no name"
        )
    if kind == "weights":
        return _weights(kinds.models.get(name or ""))
    if kind == "models":
        return list(map(_model, _models(family)))
    return ROWS[kind]()


def _models(family: str | None) -> list[kinds.Model]:
    entries = kinds.models.entries()
    if family is None:
        return entries
    chosen = [entry for entry in entries if entry.family == family]
    if not chosen:
        families = dict.fromkeys(entry.family for entry in entries)
        raise UsageError(f"--family: no family {family!r}; give one of {', '.join(families)}")
    return chosen


def _model(entry: kinds.Model) -> Listed:
    from bench.count.cost import cost_in_closed_form  # imports torch

    size, classes = entry.image_size, entry.num_classes
    cost = cost_in_closed_form(entry, image_size=size, num_classes=classes)
    top1 = [row.top1 * 100 for row in published.of(entry.timm_name, size)]
    return {
        "name": entry.name,
        "family": entry.family,
        "params": cost.params,
        "macs": cost.macs,
        "tokens": cost.tokens,
        "image_size": size,
        "classes": classes,
        "published_top1": [min(top1), max(top1)] if top1 else None,
        "timm": entry.timm_name,
        "summary": entry.summary,
    }


def _weights(entry: kinds.Model) -> list[Listed]:
    """Return a row for each of timm's weights and each image size with a known top-1."""
    from bench.training.published import weights  # imports torch

    rows: list[Listed] = []
    for tag, full_name in weights(entry).items():
        name = f"{entry.name}@{tag}"
        known = [row for row in published.rows() if f"{row.architecture}.{row.tag}" == full_name]
        for row in known:
            rows.append({"name": name, **_published(row)})
        if not known:
            rows.append({"name": name, **UNPUBLISHED})
    if not rows:
        raise UsageError(f"list weights: timm knows no published weights of {entry.name}")
    return rows


def _published(row: published.Published) -> Listed:
    return {
        "top1": row.top1 * 100,
        "image_size": row.image_size,
        "epochs": row.epochs,
        "more_data": row.more_data,
        "teacher": row.teacher,
        "source": row.source,
    }


def _metrics() -> list[Listed]:
    entries = sorted(kinds.metrics.entries(), key=lambda entry: place_of(entry.name))
    return list(map(_metric, entries))


def _metric(entry: kinds.Metric) -> Listed:
    _, unit = table_scale(Quantity(entry.name, 0, entry.unit, entry.better))
    return {
        "name": entry.name,
        "shown_as": header_of(entry.name, unit),
        "unit": entry.unit,
        "better": entry.better,
        "of": entry.arm,
        "summary": entry.summary,
    }


def _policy(entry: kinds.Policy) -> Listed:
    sets = ", ".join((entry.slot, *entry.also))
    return {"name": entry.name, "sets": sets, "summary": entry.summary}


def _dataset(entry: kinds.Dataset) -> Listed:
    argument = f":{entry.argument}" if entry.argument else ""
    return {"name": entry.name + argument, "recipe": entry.recipe, "summary": entry.summary}


def _family(entry: kinds.Family) -> Listed:
    return {
        "name": entry.name,
        "searched": entry.candidates is not None,
        "twins": entry.twin is not None,
        "chosen by": entry.rule,
    }


def _recipe(entry: Recipe) -> Listed:
    return {
        "name": entry.name,
        "hash": entry.hash,
        "epochs": entry.epochs,
        "summary": entry.summary,
    }


def _study(entry: kinds.Study) -> Listed:
    return {
        "name": entry.name,
        "claims": ", ".join(f"#{claim}" for claim in entry.claims),
        "trains": entry.trains,
        "question": entry.question,
    }


def _summary(entry: kinds.Launcher | kinds.Figure) -> Listed:
    return {"name": entry.name, "summary": entry.summary}


ROWS: dict[Kind, Callable[[], list[Listed]]] = {
    "metrics": _metrics,
    "policies": lambda: list(map(_policy, kinds.policies.entries())),
    "datasets": lambda: list(map(_dataset, kinds.datasets.entries())),
    "families": lambda: list(map(_family, kinds.families.entries())),
    "recipes": lambda: list(map(_recipe, recipes.entries())),
    "studies": lambda: list(map(_study, kinds.studies.entries())),
    "launchers": lambda: list(map(_summary, kinds.launchers.entries())),
    "figures": lambda: list(map(_summary, kinds.figures.entries())),
}
"""The rows of each kind that takes no further flag."""
