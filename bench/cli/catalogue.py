"""What `bench list` shows: every plug-in of a kind as plain values."""

from __future__ import annotations

from typing import Any

from bench.analysis import published
from bench.analysis.rows import Quantity
from bench.errors import UsageError
from bench.plugins import kinds
from bench.plugins.registry import Registry
from bench.report.columns import header_of, place_of, table_scale


def catalogue(
    kind: str, *, family: str | None = None, name: str | None = None
) -> list[dict[str, Any]]:
    """One dict per plug-in, name first. `family` keeps one family's models; `name` is whose weights are listed."""
    if family is not None and kind != "models":
        raise UsageError(f"--family: goes with `list models`, not `list {kind}`")
    if (name is not None) != (kind == "weights"):
        raise UsageError(
            "list: `list weights NAME` shows the published weights of one model; the other lists take no name"
        )
    if kind == "weights":
        return _weights(kinds.models.get(name or ""))
    if kind == "models":
        entries = kinds.models.entries()
        families = list(dict.fromkeys(entry.family for entry in entries))
        if family is not None and family not in families:
            raise UsageError(f"--family: no family {family!r}; there are {', '.join(families)}")
        return [_model(entry) for entry in entries if family in (None, entry.family)]
    if kind == "metrics":
        return [
            {
                "name": entry.name,
                "shown_as": _shown_as(entry),
                "unit": entry.unit,
                "better": entry.better,
                "of": entry.arm,
                "summary": entry.summary,
            }
            for entry in sorted(kinds.metrics.entries(), key=lambda entry: place_of(entry.name))
        ]
    if kind == "policies":
        return [
            {
                "name": entry.name,
                "sets": ", ".join((entry.slot, *entry.also)),
                "summary": entry.summary,
            }
            for entry in kinds.policies.entries()
        ]
    if kind == "datasets":
        return [
            {
                "name": entry.name + (f":{entry.argument}" if entry.argument else ""),
                "recipe": entry.recipe,
                "summary": entry.summary,
            }
            for entry in kinds.datasets.entries()
        ]
    if kind == "families":
        return [
            {
                "name": entry.name,
                "searched": entry.candidates is not None,
                "twins": entry.twin is not None,
                "chosen by": entry.rule,
            }
            for entry in kinds.families.entries()
        ]
    if kind == "recipes":
        from bench.plugins.recipe import recipes

        return [
            {
                "name": entry.name,
                "hash": entry.hash,
                "epochs": entry.epochs,
                "summary": entry.summary,
            }
            for entry in recipes.entries()
        ]
    if kind == "studies":
        return [
            {
                "name": entry.name,
                "claims": ", ".join(f"#{claim}" for claim in entry.claims),
                "trains": entry.trains,
                "question": entry.question,
            }
            for entry in kinds.studies.entries()
        ]
    rooms: dict[str, Registry[Any]] = {"launchers": kinds.launchers, "figures": kinds.figures}
    return [{"name": entry.name, "summary": entry.summary} for entry in rooms[kind].entries()]


def _shown_as(entry: kinds.Metric) -> str:
    """What heads a column of a metric, with the unit that tables have it in."""
    return header_of(entry.name, table_scale(Quantity(entry.name, 0, entry.unit, entry.better))[1])


def _model(entry: kinds.Model) -> dict[str, Any]:
    from bench.count.cost import cost_in_closed_form

    size, classes = entry.image_size, entry.num_classes
    cost = cost_in_closed_form(entry, image_size=size, num_classes=classes)
    found = [row.top1 * 100 for row in published.of(entry.timm_name, size)]
    return {
        "name": entry.name,
        "family": entry.family,
        "params": cost.params,
        "macs": cost.macs,
        "tokens": cost.tokens,
        "image_size": size,
        "classes": classes,
        "published_top1": [min(found), max(found)] if found else None,
        "timm": entry.timm_name,
        "summary": entry.summary,
    }


def _weights(entry: kinds.Model) -> list[dict[str, Any]]:
    """Every tag that timm has of an architecture, with what is published of it at each image size."""
    from bench.training.published import weights

    rows: list[dict[str, Any]] = []
    for tag, full_name in weights(entry).items():
        known: list[published.Published | None] = [
            row for row in published.rows() if f"{row.architecture}.{row.tag}" == full_name
        ]
        for row in known or [None]:
            rows.append(
                {
                    "name": f"{entry.name}@{tag}",
                    "top1": None if row is None else row.top1 * 100,
                    "image_size": None if row is None else row.image_size,
                    "epochs": None if row is None else row.epochs,
                    "more_data": None if row is None else row.more_data,
                    "teacher": None if row is None else row.teacher,
                    "source": "not in our table of published accuracies"
                    if row is None
                    else row.source,
                }
            )
    if not rows:
        raise UsageError(f"list weights: {entry.name} has no published weights that timm knows")
    return rows
