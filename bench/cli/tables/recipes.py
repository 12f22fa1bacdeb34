"""Recipes as tables: one field by field, two by their differences."""

from __future__ import annotations

from dataclasses import fields

from bench.plugins.recipe import Recipe, differences, shown
from bench.report.table import Table


def recipe_fields(recipe: Recipe) -> Table:
    """A recipe, field by field."""
    hidden = ("name", "summary", "source")
    lines = [
        [field.name, shown(getattr(recipe, field.name))]
        for field in fields(recipe)
        if field.name not in hidden
    ]
    return Table(
        f"{recipe.name} · {recipe.hash}",
        ["field", "value"],
        lines,
        [recipe.summary, f"source: {recipe.source}"],
    )


def recipe_differences(left: Recipe, right: Recipe) -> Table:
    """Where two recipes differ."""
    lines = [[name, shown(mine), shown(theirs)] for name, mine, theirs in differences(left, right)]
    return Table(
        f"{left.name} and {right.name}" + ("" if lines else ": no difference"),
        ["field", left.name, right.name],
        lines,
    )
