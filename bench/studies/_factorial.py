"""The full factorial of the controlled skeleton: mixer x stem x stages x norm at equal parameters.

The hidden width of the MLP makes up for what a cell's other parts cost more or less; it was solved
by `python -m tests.by_hand.factorial`. A test counts every cell: all are within 2 % of the first.
"""

from __future__ import annotations

from itertools import product

from bench.claims.evidence import Evidence
from bench.claims.scales import Scale
from bench.plugins import Need
from bench.stats.intervals import Effect, contrast

FACTORS = {
    "mixer": ("attention", "depthwise", "mlp"),
    "stem": ("patch", "pyramid"),
    "stages": ("iso", "staged"),
    "norm": ("bn", "ln"),
}
Cell = tuple[str, str, str, str]
CELLS: list[Cell] = list(product(*FACTORS.values()))  # type: ignore[arg-type]
SCALES = ("digits", "cifar10", "cifar10_small", "imagenet")
HIDDEN: dict[tuple[str, str, str], tuple[int, int, int, int]] = {
    ("attention", "patch", "iso"): (128, 512, 160, 1536),
    ("attention", "patch", "staged"): (45, 272, 106, 957),
    ("attention", "pyramid", "iso"): (133, 498, 169, 1536),
    ("attention", "pyramid", "staged"): (45, 272, 106, 956),
    ("depthwise", "patch", "iso"): (232, 744, 200, 2280),
    ("depthwise", "patch", "staged"): (155, 510, 152, 1706),
    ("depthwise", "pyramid", "iso"): (237, 730, 210, 2280),
    ("depthwise", "pyramid", "staged"): (154, 510, 151, 1705),
    ("mlp", "patch", "iso"): (255, 753, 221, 2255),
    ("mlp", "patch", "staged"): (99, 207, 21, 1347),
    ("mlp", "pyramid", "iso"): (260, 739, 230, 2255),
    ("mlp", "pyramid", "staged"): (99, 207, 21, 1346),
    # Not in the factorial; for mixer_needed.
    ("none", "patch", "iso"): (258, 770, 226, 2306),
    ("none", "pyramid", "staged"): (175, 530, 171, 1725),
    ("random", "patch", "iso"): (257, 769, 225, 2305),
    ("random", "pyramid", "staged"): (174, 529, 171, 1725),
    ("pooling", "patch", "iso"): (257, 769, 225, 2305),
    ("pooling", "pyramid", "staged"): (174, 529, 171, 1725),
}
"""The hidden width of each mixer, stem and stages at each of `SCALES`, the same for both norms."""


def name_of(scale: Scale, cell: Cell) -> str:
    """Return the name of a cell's skeleton."""
    width, depth, patch, _ = scale.skeleton
    mixer, stem, stages, norm = cell
    hidden = HIDDEN[mixer, stem, stages][SCALES.index(scale.key)]
    return f"skeleton_{width}_{depth}_{mixer}_{stem}_{stages}_{norm}_p{patch}_m{hidden}"


def needs(scale: Scale) -> list[Need]:
    """Return every cell, seed by seed: all cells with one seed are a balanced design."""
    models = [name_of(scale, cell) for cell in CELLS]
    return scale.trained("the skeleton's factorial", models, seeds=scale.replicates)


def effect(evidence: Evidence, scale: Scale, weights: dict[str, dict[str, float]]) -> Effect | None:
    """Return a main effect or an interaction, in points of top-1.

    `weights` are those of a factor's levels, by factor. Factors that are not named are averaged
    over. None if a cell has no result.
    """
    cells = []
    for cell in CELLS:
        weight = 1.0
        for (factor, levels), level in zip(FACTORS.items(), cell, strict=True):
            weight *= weights[factor].get(level, 0.0) if factor in weights else 1 / len(levels)
        if weight:
            cells.append((weight, evidence.top1(name_of(scale, cell), scale.data, scale.recipe)))
    return contrast(cells)
