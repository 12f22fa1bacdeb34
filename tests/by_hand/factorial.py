"""Solve the factorial's hidden widths: every cell of a scale at the parameters of its first one.

    python -m tests.by_hand.factorial

Prints what `HIDDEN` in bench/studies/_factorial.py has to be.
"""

from __future__ import annotations

from itertools import product

from bench.claims.scales import SCALES, Scale
from bench.plugins import models
from bench.studies._factorial import FACTORS

SHAPES = {
    "digits": (32, 10),
    "cifar10": (32, 10),
    "cifar10_small": (32, 10),
    "imagenet": (224, 1000),
}


def solved(scale: Scale) -> dict[tuple[str, ...], int]:
    """The hidden width of every mixer, stem and stages."""
    width, depth, patch, hidden = scale.skeleton
    size, classes = SHAPES[scale.key]

    def params(cell: tuple[str, ...], hidden: int) -> int:
        mixer, stem, stages = cell
        name = f"skeleton_{width}_{depth}_{mixer}_{stem}_{stages}_ln_p{patch}_m{hidden}"
        found: int = models.get(name).shape.counts(size, classes).params
        return found

    cells = list(product(FACTORS["mixer"], FACTORS["stem"], FACTORS["stages"]))
    target = params(cells[0], hidden)
    return {
        cell: min(range(1, 12 * width), key=lambda hidden: abs(params(cell, hidden) - target))
        for cell in cells
    }


if __name__ == "__main__":
    for scale in SCALES:
        print(f"    {scale.key!r}: {{")
        for cell, hidden in solved(scale).items():
            print(f"        {cell!r}: {hidden},")
        print("    },")
