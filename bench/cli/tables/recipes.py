"""Recipes as tables: one by its fields, two by their differences."""

from __future__ import annotations

from dataclasses import fields

from bench.plugins.recipe import Recipe, differences, shown
from bench.report.table import Table

ABOUT = ("name", "summary", "source")
"""Fields shown in the title and the notes."""


def recipe_fields(recipe: Recipe) -> Table:
    """Return a table with a row for each field of a recipe."""
    lines = []
    for field in fields(recipe):
        if field.name not in ABOUT:
            lines.append([field.name, shown(getattr(recipe, field.name))])
    title = f"{recipe.name} · {recipe.hash}"
    notes = [recipe.summary, f"source: {recipe.source}"]
    return Table(title, ["field", "value"], lines, notes)


def recipe_differences(left: Recipe, right: Recipe) -> Table:
    """Return a table with a row for each field in which two recipes differ."""
    lines = [[name, shown(mine), shown(theirs)] for name, mine, theirs in differences(left, right)]
    title = f"{left.name} and {right.name}" + ("" if lines else ": no difference")
    return Table(title, ["field", left.name, right.name], lines)
