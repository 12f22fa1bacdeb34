"""`bench recipe`: show and compare training recipes."""

from __future__ import annotations

from bench.cli.console import Terminal, print_tables
from bench.cli.tables.recipes import recipe_differences, recipe_fields
from bench.plugins.recipe import recipes


def show(name: str, /) -> int:
    """Show every field of a recipe.

    Parameters
    ----------
    name
        A recipe from `bench list recipes`; NAME:field=value changes fields.
    """
    print_tables(Terminal.on_stdout(), [recipe_fields(recipes.get(name))])
    return 0


def diff(left: str, right: str, /) -> int:
    """Show the fields in which two recipes differ.

    Parameters
    ----------
    left
        A recipe, named as for `recipe show`.
    right
        Another one.
    """
    differences = recipe_differences(recipes.get(left), recipes.get(right))
    print_tables(Terminal.on_stdout(), [differences])
    return 0
