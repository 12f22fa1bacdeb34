"""How the gap between a model and a transformer of its budget splits, where their matched-grid twin was measured too.

    whole   = model : transformer of equal parameters with the usual patch of 16
    grid    = transformer of equal parameters on the model's grid : the one with the usual patch
    mixer   = what the model's multiply-adds would make of that twin's speed, were all multiply-adds alike
    kernels = the rest: multiply-adds per second of the model : those of the twin

so that grid x mixer x kernels is the whole. The study `inference_cost` measures such a set.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace

from bench.analysis.rows import Row, Summary
from bench.claims.evidence import Evidence, Speed
from bench.config import COMMAND, DEFAULT_POLICY
from bench.report.table import Cell, Column, Columns, Line, Table
from bench.stats.formatting import interval
from bench.stats.intervals import Effect

USUAL = 16
WITHIN = 0.02
"""Largest relative difference of parameters that counts as the same budget."""
PATCHES = {
    "convmixer_1536_20": 7,
    "convmixer_768_32": 7,
    "convmixer_1024_20": 14,
    "convmixer_256_8": 2,
}
"""Of published models whose name does not say it."""


def patch_of(model: str) -> int | None:
    """The side of a model's patches in pixels, as far as its name says."""
    if model in PATCHES:
        return PATCHES[model]
    found = re.search(r"_p(\d+)(?:_|$)", model) or re.fullmatch(
        r"(?:vit|deit|mixer|resmlp)_[a-z]+(\d+)", model
    )
    if found:
        return int(found[1])
    return (
        7
        if re.match(r"convmixer_\d+_\d+", model)
        else USUAL
        if re.match(r"(?:vit|mixer)_\d+_\d+", model)
        else None
    )


def gaps(summary: Summary) -> Iterator[Table]:
    """Of every model that has both transformers beside it, all measured in several processes; `summary` with what studies measured."""
    evidence = Evidence(summary)
    lines: list[Line] = []
    rows = [
        row
        for row in summary.rows
        if row.image_size == 224 and row.value("params") and row.value("macs")
    ]
    plain = DEFAULT_POLICY[evidence.kind]
    rows = [row for row in rows if row.policy == plain and row.by_batch("throughput")]
    transformers = [row for row in rows if row.about.family == "vit"]
    for row in rows:
        patch = patch_of(row.model)
        if row.about.family == "vit" or patch in (None, USUAL):
            continue
        usual, twin = (_alike(row, transformers, side) for side in (USUAL, patch))
        if usual and twin and (line := _line(evidence, row, usual, twin)):
            lines.append(line)
    if lines:
        columns: Columns = [
            *(
                "model",
                "transformer",
                "its twin on the grid",
                Column("whole × [95 %]", "whole"),
                Column("grid ×", "grid"),
            ),
            *(Column("mixer ×", "mixer"), Column("kernels ×", "kernels"), "their product"),
        ]
        notes = [
            "whole: images per second of the model over those of the transformer; grid: the twin's over the transformer's; mixer: by "
            "multiply-adds, exact; kernels: multiply-adds per second, the model's over the twin's",
            f"budgets within {WITHIN:.0%} in parameters; more twins: {COMMAND} match --reference MODEL --families vit --hold tokens",
        ]
        yield Table("How the gap splits · mixer, grid and kernels", columns, lines, notes)


def _alike(row: Row, transformers: list[Row], patch: int | None) -> str | None:
    """The transformer with this patch whose parameters are nearest; None where none is within the tolerance."""
    mine = _count(row, "params")
    near = sorted(
        (abs(_count(one, "params") / mine - 1), one.model)
        for one in transformers
        if patch_of(one.model) == patch
    )
    return near[0][1] if near and near[0][0] <= WITHIN else None


def _count(row: Row, name: str) -> float:
    value = row.value(name)
    assert value is not None
    return value.value


def _line(evidence: Evidence, row: Row, usual: str, twin: str) -> Line | None:
    macs = evidence.count(twin, "macs")
    model, reference, other = Speed(row.model), Speed(usual), Speed(twin)
    ratios = [
        {model: 1.0, reference: -1.0},
        {other: 1.0, reference: -1.0},
        {model: 1.0, other: -1.0},
    ]
    whole, grid, kernels = (evidence.contrast(one, "throughput") for one in ratios)
    if not macs or whole is None or grid is None or kernels is None:
        return None
    mixer = math.log(macs / _count(row, "macs"))
    kernels = replace(kernels, value=kernels.value - mixer)
    product = math.exp(grid.value + mixer + kernels.value)
    inside = (
        "inside the whole's interval"
        if whole.as_ratio.holds(product)
        else "OUTSIDE the whole's interval"
    )
    return [
        *(row.model, usual, twin, _cell(whole), _cell(grid)),
        Cell(f"{math.exp(mixer):.2f}", math.exp(mixer)),
        _cell(kernels),
        f"{product:.3f}, {inside}",
    ]


def _cell(effect: Effect) -> Cell:
    found = effect.as_ratio
    return Cell.of(interval(found), found)
