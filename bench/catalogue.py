"""What `bench list` shows: every plug-in of a kind as plain values."""

from __future__ import annotations

from typing import Any

from bench import plugins


def catalogue(kind: str) -> list[dict[str, Any]]:
    """One dict per plug-in, name first."""
    if kind == "models":
        return [_model(entry) for entry in plugins.models.entries()]
    if kind == "metrics":
        return [
            {"name": entry.name, "unit": entry.unit, "better": entry.better, "of": entry.arm, "summary": entry.summary}
            for entry in plugins.metrics.entries()
        ]
    if kind == "policies":
        return [{"name": entry.name, "sets": entry.slot, "summary": entry.summary} for entry in plugins.policies.entries()]
    if kind == "datasets":
        return [
            {"name": entry.name + (f":{entry.argument}" if entry.argument else ""), "classes": entry.num_classes, "summary": entry.summary}
            for entry in plugins.datasets.entries()
        ]
    if kind == "families":
        return [
            {"name": entry.name, "searched": entry.candidates is not None, "twins": entry.twin is not None, "chosen by": entry.rule}
            for entry in plugins.families.entries()
        ]
    if kind == "recipes":
        from bench.training.recipe import recipes

        return [{"name": entry.name, "hash": entry.hash, "epochs": entry.epochs, "summary": entry.summary} for entry in recipes.entries()]
    return [{"name": entry.name, "summary": entry.summary} for entry in plugins.figures.entries()]


def _model(entry: plugins.Model) -> dict[str, Any]:
    return {
        "name": entry.name,
        "family": entry.family,
        "image_size": entry.image_size,
        "classes": entry.num_classes,
        "timm": entry.timm_name,
        "summary": entry.summary,
    }
