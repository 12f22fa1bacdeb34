"""`bench list`, `describe`, `match` and `recipe`: what can be measured, and what it consists of."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich.text import Text
from rich.tree import Tree

from bench.cli.catalogue import Kind, catalogue
from bench.cli.console import Terminal, print_tables, print_words, styled
from bench.cli.options import DeviceFlag, JsonFlag
from bench.cli.tables.listings import listing, matches
from bench.cli.tables.recipes import recipe_differences, recipe_fields
from bench.cli.terminal import say
from bench.config import Names, check_shape
from bench.devices import choices, kind_of
from bench.errors import UsageError
from bench.measure.machine import resolve_device
from bench.plugins import models
from bench.plugins.recipe import recipes
from bench.stats.formatting import human

if TYPE_CHECKING:  # these import torch
    from bench.count.module_tree import Described, Layer
    from bench.match.siblings import Siblings


def list_(
    kind: Kind,
    name: str | None = None,
    /,
    *,
    family: str | None = None,
    as_json: JsonFlag = False,
) -> int:
    """List models, metrics and other plug-ins.

    Parameters
    ----------
    kind
        models, weights, families, metrics, policies, datasets, recipes, studies, launchers or
        figures.
    name
        With `weights`: the model whose published weights are listed.
    family
        With `models`: list one family only.
    """
    rows = catalogue(kind, family=family, name=name)
    if as_json:
        say(json.dumps(rows, indent=2))
    else:
        print_tables(Terminal.on_stdout(), [listing(f"{len(rows)} {kind}", rows)])
    return 0


def describe(
    name: str, /, *, image_size: int | None = None, num_classes: int | None = None, depth: int = 2
) -> int:
    """Show a model layer by layer: shapes, parameters, MACs.

    Parameters
    ----------
    name
        A model, named as for `run --models`.
    image_size
        Side of the image in pixels; defaults to the model's own.
    num_classes
        Outputs of the classifier; defaults to the model's own.
    depth
        Levels of modules to show.
    """
    from bench.count.module_tree import describe as layers_of

    check_shape(image_size, num_classes)
    if depth < 1:
        raise UsageError(f"--depth: must be at least 1, got {depth}; 2 is usual")
    entry = models.get(name)
    described = layers_of(
        entry,
        image_size=image_size or entry.image_size,
        num_classes=num_classes or entry.num_classes,
    )
    _print_layers(Terminal.on_stdout(), described, depth)
    return 0


def _print_layers(console: Terminal, described: Described, depth: int) -> None:
    """Print a tree of modules, without MACs if some operators could not be counted."""
    root = Tree(_layer_line(described.root, described, times=1, copies=1))
    _grow(root, described.root, described, depth, copies=1)
    console.print(root, highlight=False)
    print_words(console, f"{described.root.params:,} parameters in all", "dim")
    if described.missed:
        print_words(
            console,
            f"no MACs: {', '.join(described.missed)} could not be counted, so the figures would be "
            "too small",
            "yellow",
        )
    else:
        print_words(
            console,
            "MACs of convolutions, linear layers and attention for one image; shares are those of "
            "all equal layers together",
            "dim",
        )
    if described.on_cpu:
        print_words(
            console,
            "built and run on the CPU, since tensors on the meta device have no values: "
            f"{described.on_cpu}",
            "dim",
        )


def _grow(branch: Tree, layer: Layer, described: Described, depth: int, copies: int) -> None:
    """Add `depth` levels below a layer; adjacent equal layers are one branch.

    `copies` is how many equal layers the branch stands for.
    """
    if depth == 0:
        return
    for _, run in groupby(layer.children, key=_shape_of):
        equal = list(run)
        in_all = copies * len(equal)
        line = _layer_line(equal[0], described, times=len(equal), copies=in_all)
        _grow(branch.add(line), equal[0], described, depth - 1, in_all)


def _shape_of(layer: Layer) -> tuple[object, ...]:
    return layer.kind, layer.shapes, layer.params, layer.macs


def _layer_line(layer: Layer, described: Described, *, times: int, copies: int) -> Text:
    sizes = [" × ".join(map(str, shape)) for shape in layer.shapes]
    parts = [
        styled(f"{layer.name} … ×{times}" if times > 1 else layer.name, "bold"),
        styled(f" {layer.kind}  "),
        styled(", ".join(sizes), "dim"),
        styled(f"  {human(layer.params)} params"),
    ]
    if not described.missed:
        total = described.root.macs
        parts.append(styled(f", {human(layer.macs)} MACs  "))
        parts.append(styled(f"{copies * layer.macs / total:.1%}" if total else "", "cyan"))
    return Text.assemble(*parts)


def match(
    *,
    reference: str,
    families: Names = ("vit", "mixer", "resnet"),
    budget: Literal["params", "macs", "params+macs", "latency"] = "params",
    hold: Literal["tokens", "shape"] | None = None,
    tolerance: float | None = None,
    image_size: int | None = None,
    num_classes: int | None = None,
    device: Annotated[
        DeviceFlag,
        Parameter(help=f"Device to measure latencies on: {choices()}."),
    ] = "auto",
    as_json: JsonFlag = False,
) -> int:
    """Find models of other families with a reference's budget.

    Parameters
    ----------
    reference
        A model, named as for `run --models`.
    families
        Names from `bench list families`, comma separated.
    budget
        What the models have in common with the reference.
    hold
        tokens: keep the reference's token grid; shape: also its width and depth, so that the MLP
        ratio meets the budget.
    tolerance
        Largest relative difference from the budget; defaults to 0.02, to 0.05 for params+macs, to
        0.1 for latency.
    image_size
        Side of the images in pixels; defaults to the reference's own.
    num_classes
        Outputs of the classifier; defaults to the reference's own.
    """
    from bench.match.siblings import siblings

    check_shape(image_size, num_classes)
    found = siblings(
        reference,
        families,
        budget=budget,
        image_size=image_size,
        num_classes=num_classes,
        tolerance=tolerance,
        hold=hold,
        **(_where_measured(device) if budget == "latency" else {}),
    )
    if as_json:
        say(json.dumps(_as_json(found), indent=2))
    else:
        print_tables(Terminal.on_stdout(), [matches(found, budget=budget)])
    return 0


def _where_measured(device: str) -> dict[str, str]:
    """Return the device, and the policy that is usual on it."""
    resolved = resolve_device(device)
    return {"device": resolved, "policy": kind_of(resolved).policy}


def _as_json(found: Siblings) -> dict[str, Any]:
    """Return the reference, its siblings and the notes as plain values."""
    reference = {
        "name": found.reference.name,
        **asdict(found.cost),
        "image_size": found.image_size,
    }
    return {
        "reference": reference,
        "matches": list(map(asdict, found.matches)),
        "notes": found.notes,
    }


def show_recipe(name: str, /) -> int:
    """Show every field of a recipe.

    Parameters
    ----------
    name
        A recipe from `bench list recipes`; NAME:field=value changes fields.
    """
    print_tables(Terminal.on_stdout(), [recipe_fields(recipes.get(name))])
    return 0


def diff_recipes(left: str, right: str, /) -> int:
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
