"""`bench list`, `describe` and `match`: what can be measured, and what it consists of."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Literal

from cyclopts import Parameter

from bench.cli.catalogue import catalogue
from bench.cli.console import Terminal, print_layers, print_tables
from bench.cli.options import AsJson, Device
from bench.cli.tables.listings import listing, matches
from bench.config import DEFAULT_POLICY, Names, check_shape
from bench.errors import UsageError
from bench.measure.machine import resolve_device
from bench.plugins import models

Budget = Literal["params", "macs", "params+macs", "latency"]
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


def list_(
    kind: Kind,
    name: str | None = None,
    /,
    *,
    family: str | None = None,
    as_json: AsJson = False,
) -> int:
    """Show what can be asked for.

    Parameters
    ----------
    kind
        models, weights, families, metrics, policies, datasets, recipes, studies, launchers or figures.
    name
        With `weights`: the model whose published weights are shown.
    family
        With `models`: one family only.
    """

    rows = catalogue(kind, family=family, name=name)
    if as_json:
        print(json.dumps(rows, indent=2))
        return 0

    print_tables(Terminal.on_stdout(), [listing(f"{len(rows)} {kind}", rows)])
    return 0


def describe(
    name: str, /, *, image_size: int | None = None, num_classes: int | None = None, depth: int = 2
) -> int:
    """Show one model layer by layer: shape, parameters, MACs and their share.

    Parameters
    ----------
    name
        A model; names as for `run --models`.
    image_size
        Side of the image in pixels; the model's own unless given.
    num_classes
        Outputs of the classifier; the model's own unless given.
    depth
        Levels of modules to show.
    """
    from bench.count.module_tree import describe as layers_of

    check_shape(image_size, num_classes)
    if depth < 1:
        raise UsageError(f"--depth: {depth} shows nothing; 1 or more does")
    entry = models.get(name)
    tree = layers_of(
        entry,
        image_size=image_size or entry.image_size,
        num_classes=num_classes or entry.num_classes,
    )
    print_layers(Terminal.on_stdout(), tree, depth=depth)
    return 0


def match(
    *,
    reference: str,
    families: Names = ("vit", "mixer", "resnet"),
    budget: Budget = "params",
    hold: Literal["tokens", "shape"] | None = None,
    tolerance: float | None = None,
    image_size: int | None = None,
    num_classes: int | None = None,
    device: Annotated[
        Device, Parameter(help="Where latencies are measured: auto, cpu, cuda, cuda:N or mps.")
    ] = "auto",
    as_json: AsJson = False,
) -> int:
    """Find models of other families with the budget of a reference.

    Parameters
    ----------
    reference
        A model; names as for `run --models`.
    families
        From `bench list families`, comma separated.
    budget
        What is equal.
    hold
        tokens: keep the reference's token grid; shape: its width and depth too, the MLP closes the budget.
    tolerance
        Largest relative miss; 0.02, for params+macs 0.05, for latency 0.1.
    image_size
        Side of the images in pixels; the reference's own unless given.
    num_classes
        Outputs of the classifier; the reference's own unless given.
    """

    from bench.match.siblings import siblings

    check_shape(image_size, num_classes)
    where = {}
    if budget == "latency":
        found_device = resolve_device(device)
        where = {"device": found_device, "policy": DEFAULT_POLICY[found_device.partition(":")[0]]}
    found = siblings(
        reference,
        families,
        budget=budget,
        image_size=image_size,
        num_classes=num_classes,
        tolerance=tolerance,
        hold=hold,
        **where,
    )
    if as_json:
        reference_of = {
            "name": found.reference.name,
            **asdict(found.cost),
            "image_size": found.image_size,
        }
        shown = {
            "reference": reference_of,
            "matches": [asdict(one) for one in found.matches],
            "notes": found.notes,
        }
        print(json.dumps(shown, indent=2))
        return 0
    print_tables(Terminal.on_stdout(), [matches(found, budget=budget)])
    return 0
