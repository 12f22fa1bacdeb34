"""Solve the factorial's hidden widths: every cell of a scale at the parameters of its first one.

    python -m tests.by_hand.factorial

Prints the rows of `HIDDEN` in bench/studies/_factorial.py.
"""

from __future__ import annotations

from itertools import product

from bench.claims.scales import SCALES, Scale
from bench.plugins import models
from bench.studies import _factorial
from bench.studies._factorial import FACTORS

SHAPES = {
    "digits": (32, 10),
    "cifar10": (32, 10),
    "cifar10_small": (32, 10),
    "imagenet": (224, 1000),
}
CELLS = list(product(FACTORS["mixer"], FACTORS["stem"], FACTORS["stages"]))


def solved(scale: Scale) -> list[int]:
    """Return the hidden width of every mixer, stem and stages."""
    width, depth, patch, hidden = scale.skeleton
    size, classes = SHAPES[scale.key]

    def params(cell: tuple[str, ...], hidden: int) -> int:
        mixer, stem, stages = cell
        name = f"skeleton_{width}_{depth}_{mixer}_{stem}_{stages}_ln_p{patch}_m{hidden}"
        found: int = models.get(name).shape.counts(size, classes).params
        return found

    target = params(CELLS[0], hidden)
    widths = []
    for cell in CELLS:
        errors = {hidden: abs(params(cell, hidden) - target) for hidden in range(1, 12 * width)}
        widths.append(min(errors, key=errors.__getitem__))
    return widths


if __name__ == "__main__":
    assert tuple(scale.key for scale in SCALES) == _factorial.SCALES
    for cell, *widths in zip(CELLS, *map(solved, SCALES), strict=True):
        print(f"    {cell}: {tuple(widths)},".replace("'", '"'))
