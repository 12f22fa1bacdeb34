"""`bench recipe`: look into recipes."""

from __future__ import annotations

from bench.cli.console import Terminal, print_tables
from bench.cli.tables.recipes import recipe_differences, recipe_fields
from bench.plugins.recipe import recipes


def show(name: str, /) -> int:
    """Every field of a recipe.

    Parameters
    ----------
    name
        A recipe of `bench list recipes`; fields are changed by NAME:field=value.
    """

    print_tables(Terminal.on_stdout(), [recipe_fields(recipes.get(name))])
    return 0


def diff(left: str, right: str, /) -> int:
    """The fields in which two recipes differ.

    Parameters
    ----------
    left
        A recipe.
    right
        Another one.
    """

    print_tables(Terminal.on_stdout(), [recipe_differences(recipes.get(left), recipes.get(right))])
    return 0
