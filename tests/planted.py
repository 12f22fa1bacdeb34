"""Evidence with planted effects, for any study that trains: nothing here knows a study by name.

A study asks `Evidence` for lists with one number per seed. Each list is a cell: a quantity of one
model under one recipe. Effects are linear in the cells' means (in their logarithms where values
are compared as ratios), so that changing one cell at a time shows how every effect depends on
it, and least squares gives means under which the effects that decide are wherever they should be.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.claims.evidence import Evidence, nothing_measured
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Study
from bench.stats.intervals import student
from bench.stats.lr_search import AS_IS
from bench.stats.seed_variance import CommonVariance, Seeds, common_variance

Cell = tuple[str, ...]
"""A quantity, then whatever it was asked of."""
POINTS, LEVEL = "top1", 60.0
"""The quantity in points of top-1, and its level; others have logarithms around 0."""
SPREAD = {POINTS: 0.4}
"""Standard deviation over seeds by quantity; of others, that of the logarithm."""
USUAL_SPREAD = 0.03
MOST_SEEDS = 60


@dataclass(eq=False)
class Planted(Evidence):
    """Evidence in which the values of each cell are those that `values` returns."""

    values: Callable[[Cell], list[float]]
    common: Mapping[tuple[str, str], CommonVariance | None] = field(default_factory=dict)
    """The common variance between seeds by data and recipe."""

    def top1(self, model: str, data: str, recipe: str, **how: str) -> list[float]:
        how = {"tuning": AS_IS, "equalise": "epochs", **how}
        points = self._of(POINTS, model, data, recipe, how["tuning"], how["equalise"])
        return Seeds(points, self.common.get((data, plain(recipe))))

    def details(self, model: str, data: str, recipe: str, name: str) -> list[float]:
        return self._of(name, model, data, recipe)

    def fields(
        self, model: str, data: str, recipe: str, when: str, name: str, *, canvas: int = 1
    ) -> list[float]:
        return self._of(name, model, data, recipe, when, str(canvas))

    def epochs_to(self, model: str, data: str, recipe: str, level: float) -> list[float]:
        return self._of("epochs", model, data, recipe, str(level))

    def _of(self, *cell: str) -> list[float]:
        offsets = self.values(cell)
        if cell[0] == POINTS:
            return [LEVEL + offset for offset in offsets]
        return list(map(math.exp, offsets))


def findings(
    study: Study,
    scale: Scale,
    values: Callable[[Cell], list[float]] | Mapping[Cell, list[float]],
) -> list[Finding]:
    """Return what a study finds in planted values; in all of a mapping as in records of these."""
    summary = nothing_measured("cpu").summary
    if isinstance(values, Mapping):
        evidence = Planted(summary, values.__getitem__, common_of(values))
    else:
        evidence = Planted(summary, values)
    return list(study.judge(evidence, scale))


def common_of(
    values: Mapping[Cell, list[float]],
) -> dict[tuple[str, str], CommonVariance | None]:
    """Return the common variance of the top-1 among planted values, by data and recipe."""
    groups: dict[tuple[str, str], list[list[float]]] = {}
    for cell, offsets in values.items():
        if cell[0] == POINTS:
            groups.setdefault((cell[2], plain(cell[3])), []).append(offsets)
    return {scale: common_variance(found) for scale, found in groups.items()}


def plain(recipe: str) -> str:
    return recipe.partition(":")[0]


@dataclass(frozen=True)
class Design:
    """How the deciding effects of a study at a scale depend on the cells that it asks for."""

    study: Study
    scale: Scale
    cells: list[Cell]
    weights: Any
    """(effects, cells)"""
    bounds: list[tuple[float, float]]

    @classmethod
    def of(cls, study: Study, scale: Scale) -> Design:
        """Find it by changing one cell at a time."""
        asked: dict[Cell, None] = {}

        def remembered(cell: Cell) -> list[float]:
            asked[cell] = None
            return [0.0, 0.0]

        base = _deciding(findings(study, scale, remembered))
        columns = []
        for changed in asked:
            values = {cell: [float(cell == changed)] * 2 for cell in asked}
            after = map(_value, _deciding(findings(study, scale, values.__getitem__)))
            columns.append([new - _value(old) for new, old in zip(after, base, strict=True)])
        weights = np.array(columns).T
        return cls(study, scale, list(asked), weights, [finding.bounds for finding in base])

    def unplanted(self) -> list[int]:
        """Return the effects that depend on no cell: these can't be planted this way."""
        return [place for place, row in enumerate(self.weights) if not np.abs(row).max()]

    def margins(self, seeds: int) -> list[float]:
        """Return how far from its region's end each effect is decided in nearly all draws."""
        margins = []
        for row in self.weights:
            spreads = np.array([SPREAD.get(cell[0], USUAL_SPREAD) for cell in self.cells])
            parts = (row * spreads) ** 2
            freedom = (seeds - 1) * parts.sum() ** 2 / (parts**2).sum()
            wrong, missed = 0.05 / len(self.weights), 0.02 / len(self.weights)
            quantiles = student(freedom, 1 - wrong / 2) + student(freedom, 1 - missed)
            margins.append(float(quantiles * math.sqrt(parts.sum() / seeds)))
        return margins

    def seeds_for(self, fewest: int) -> int:
        """Return the number of seeds with which each effect can lie well inside its region.

        A region may be narrower than what a few seeds can tell.
        """
        for seeds in range(fewest, MOST_SEEDS):
            wide = (high - low for low, high in self.bounds)
            if all(2 * by <= width for by, width in zip(self.margins(seeds), wide, strict=True)):
                return seeds
        raise AssertionError(f"{self.study.name}: {MOST_SEEDS} seeds tell nothing of its regions")

    def means(self, *, inside: bool, seeds: int) -> dict[Cell, float]:
        """Return the means of all cells with every effect well inside, or well outside."""
        place = _inside if inside else _outside
        margins = self.margins(seeds)
        wanted = [place(*ends, by) for ends, by in zip(self.bounds, margins, strict=True)]
        return self.means_for(wanted)

    def means_for(self, wanted: Sequence[float]) -> dict[Cell, float]:
        """Return means of all cells under which the effects are as wanted."""
        found = np.linalg.lstsq(self.weights, np.array(wanted), rcond=None)[0]
        assert np.allclose(self.weights @ found, wanted), "the effects exclude each other"
        return dict(zip(self.cells, map(float, found), strict=True))


def drawn(means: Mapping[Cell, float], seeds: int, draw: random.Random) -> dict[Cell, list[float]]:
    """Return values of so many seeds around the means, in the order of the cells."""
    values = {}
    for cell, mean in means.items():
        spread = SPREAD.get(cell[0], USUAL_SPREAD)
        values[cell] = [draw.gauss(mean, spread) for _ in range(seeds)]
    return values


def _deciding(found: list[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.primary]


def _value(finding: Finding) -> float:
    assert finding.effect is not None, f"{finding.what}: no effect in planted values"
    return finding.effect.value


def _inside(low: float, high: float, by: float) -> float:
    if math.isinf(high):
        return low + by
    return high - by if math.isinf(low) else (low + high) / 2


def _outside(low: float, high: float, by: float) -> float:
    return low - by if math.isinf(high) else high + by
