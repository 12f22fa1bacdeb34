"""Solve the hidden widths of skeletons: all of a scale at the parameters of the first one.

    python -m tests.by_hand.factorial

Prints the rows of `HIDDEN` in bench/studies/_factorial.py, then those in bench/studies/_near.py,
whose budget is that of the scale's ConvMixer where they have another patch than the factorial.
"""

from __future__ import annotations

from itertools import product

from bench.claims.scales import SCALES, Scale
from bench.plugins import models
from bench.studies import _factorial, _near
from bench.studies._factorial import FACTORS

SHAPES = {
    "digits": (32, 10),
    "cifar10": (32, 10),
    "cifar10_small": (32, 10),
    "imagenet": (224, 1000),
}
EXTRA = product(("none", "random", "pooling"), (("patch", "iso"), ("pyramid", "staged")))
CELLS = [
    *product(FACTORS["mixer"], FACTORS["stem"], FACTORS["stages"]),
    *((mixer, stem, stages) for mixer, (stem, stages) in EXTRA),
]


def params(scale: Scale, name: str) -> int:
    """Return a model's parameters with the scale's images and classes."""
    found: int = models.get(name).shape.counts(*SHAPES[scale.key]).params
    return found


def solved(scale: Scale, spelling: str, target: int) -> int:
    """Return the hidden width with which a spelled skeleton is nearest to `target` parameters."""

    def miss(hidden: int) -> int:
        return abs(params(scale, spelling.format(hidden)) - target)

    return min(range(1, 12 * scale.skeleton[0]), key=miss)


def cell_of(scale: Scale, cell: tuple[str, ...]) -> int:
    """Return the hidden width of a mixer, stem and stages of the factorial."""
    width, depth, patch, hidden = scale.skeleton
    spelling = f"skeleton_{width}_{depth}_{{}}_p{patch}_m"
    first = spelling.format("_".join((*CELLS[0], "ln"))) + str(hidden)
    name = spelling.format("_".join((*cell, "ln"))) + "{}"
    return solved(scale, name, params(scale, first))


def near_of(scale: Scale, mixer: str) -> int:
    """Return the hidden width of a mixer's skeleton on a grid with neighbourhoods."""
    first = (
        scale.family["convmixer"] if scale.near else _factorial.name_of(scale, _factorial.CELLS[0])
    )
    hidden = _near.HIDDEN[mixer][_factorial.SCALES.index(scale.key)]
    name = _near.name_of(scale, mixer).replace(f"_m{hidden}", "_m{}")
    return solved(scale, name, params(scale, first))


if __name__ == "__main__":
    assert tuple(scale.key for scale in SCALES) == _factorial.SCALES
    for cell in CELLS:
        row = tuple(cell_of(scale, cell) for scale in SCALES)
        print(f"    {cell}: {row},".replace("'", '"'))
    for mixer in _near.HIDDEN:
        print(f'    "{mixer}": {tuple(near_of(scale, mixer) for scale in SCALES)},')
