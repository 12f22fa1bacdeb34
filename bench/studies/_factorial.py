"""The controlled skeleton's full factorial: mixer x stem x stages x norm, every cell at the same parameters.

The hidden width of the MLP gives back what a cell's other parts cost more or less; `HIDDEN` holds what
`python -m tests.by_hand.factorial` solved for. A test counts every cell: within 2 % of the first one.
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
HIDDEN: dict[str, dict[tuple[str, str, str], int]] = {
    "digits": {
        ("attention", "patch", "iso"): 128,
        ("attention", "patch", "staged"): 45,
        ("attention", "pyramid", "iso"): 133,
        ("attention", "pyramid", "staged"): 45,
        ("depthwise", "patch", "iso"): 232,
        ("depthwise", "patch", "staged"): 155,
        ("depthwise", "pyramid", "iso"): 237,
        ("depthwise", "pyramid", "staged"): 154,
        ("mlp", "patch", "iso"): 255,
        ("mlp", "patch", "staged"): 99,
        ("mlp", "pyramid", "iso"): 260,
        ("mlp", "pyramid", "staged"): 99,
    },
    "cifar10": {
        ("attention", "patch", "iso"): 512,
        ("attention", "patch", "staged"): 272,
        ("attention", "pyramid", "iso"): 498,
        ("attention", "pyramid", "staged"): 272,
        ("depthwise", "patch", "iso"): 744,
        ("depthwise", "patch", "staged"): 510,
        ("depthwise", "pyramid", "iso"): 730,
        ("depthwise", "pyramid", "staged"): 510,
        ("mlp", "patch", "iso"): 753,
        ("mlp", "patch", "staged"): 207,
        ("mlp", "pyramid", "iso"): 739,
        ("mlp", "pyramid", "staged"): 207,
    },
    "cifar10_small": {
        ("attention", "patch", "iso"): 160,
        ("attention", "patch", "staged"): 106,
        ("attention", "pyramid", "iso"): 169,
        ("attention", "pyramid", "staged"): 106,
        ("depthwise", "patch", "iso"): 200,
        ("depthwise", "patch", "staged"): 152,
        ("depthwise", "pyramid", "iso"): 210,
        ("depthwise", "pyramid", "staged"): 151,
        ("mlp", "patch", "iso"): 221,
        ("mlp", "patch", "staged"): 21,
        ("mlp", "pyramid", "iso"): 230,
        ("mlp", "pyramid", "staged"): 21,
    },
    "imagenet": {
        ("attention", "patch", "iso"): 1536,
        ("attention", "patch", "staged"): 957,
        ("attention", "pyramid", "iso"): 1536,
        ("attention", "pyramid", "staged"): 956,
        ("depthwise", "patch", "iso"): 2280,
        ("depthwise", "patch", "staged"): 1706,
        ("depthwise", "pyramid", "iso"): 2280,
        ("depthwise", "pyramid", "staged"): 1705,
        ("mlp", "patch", "iso"): 2255,
        ("mlp", "patch", "staged"): 1347,
        ("mlp", "pyramid", "iso"): 2255,
        ("mlp", "pyramid", "staged"): 1346,
    },
}
"""By scale: the hidden width of each mixer, stem and stages; the norms have the same parameters."""


def name_of(scale: Scale, cell: Cell) -> str:
    """The skeleton of a cell."""
    width, depth, patch, _ = scale.skeleton
    mixer, stem, stages, norm = cell
    return f"skeleton_{width}_{depth}_{mixer}_{stem}_{stages}_{norm}_p{patch}_m{HIDDEN[scale.key][mixer, stem, stages]}"


def needs(scale: Scale) -> list[Need]:
    """Every cell, seed by seed: a seed of all cells is a balanced design of its own."""
    return scale.trained(
        "the skeleton's factorial", [name_of(scale, cell) for cell in CELLS], seeds=scale.replicates
    )


def effect(evidence: Evidence, scale: Scale, weights: dict[str, dict[str, float]]) -> Effect | None:
    """A main effect, or an interaction: per factor the weight of each level; factors that are not named are averaged over."""
    cells = []
    for cell in CELLS:
        weight = 1.0
        for (factor, levels), level in zip(FACTORS.items(), cell, strict=True):
            weight *= weights[factor].get(level, 0.0) if factor in weights else 1 / len(levels)
        if weight:
            cells.append((weight, evidence.top1(name_of(scale, cell), scale.data, scale.recipe)))
    return contrast(cells)
