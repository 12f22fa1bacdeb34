"""How the gap in speed between a model and a transformer of its budget splits into three factors.

    whole   = model : transformer of equal parameters with the usual patch of 16
    grid    = transformer of equal parameters on the model's grid : the one with the usual patch
    mixer   = the multiply-adds of that transformer on the model's grid, its twin : the model's
    kernels = the rest: multiply-adds per second of the model : those of the twin

so that grid × mixer × kernels is the whole. The study `inference_cost` measures such a set.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace

from bench.analysis.rows import Row, Summary
from bench.claims.evidence import Evidence, Speed
from bench.config import COMMAND
from bench.devices import kind_of
from bench.report.notes import Note
from bench.report.table import Cell, Column, Columns, Table, TableRow
from bench.stats.formatting import interval
from bench.stats.intervals import Effect

USUAL = 16
"""The side of a transformer's patches in pixels."""
WITHIN = 0.02
"""Largest relative difference of parameters that counts as the same budget."""
PATCHES = {
    "convmixer_1536_20": 7,
    "convmixer_768_32": 7,
    "convmixer_1024_20": 14,
    "convmixer_256_8": 2,
}
"""Patches of published models whose name does not say."""
COLUMNS: Columns = [
    "model",
    "transformer",
    "its twin on the grid",
    Column("whole × [95 %]", "whole"),
    Column("grid ×", "grid"),
    Column("mixer ×", "mixer"),
    Column("kernels ×", "kernels"),
    "their product",
]
NOTES = [
    "whole: images per second of the model over those of the transformer; grid: the twin's over "
    "the transformer's; mixer: by multiply-adds, exact; kernels: multiply-adds per second, the "
    "model's over the twin's",
    Note(
        f"budgets within {WITHIN:.0%} in parameters; more twins: {COMMAND} match --reference MODEL "
        "--families vit --hold tokens",
        f"budgets within {WITHIN:.0%} in parameters",
    ),
]


def patch_of(model: str) -> int | None:
    """Return the side of a model's patches in pixels, as far as its name says."""
    if model in PATCHES:
        return PATCHES[model]
    spelled = re.search(r"_p(\d+)(?:_|$)", model)
    of_size = re.fullmatch(r"(?:vit|deit|mixer|resmlp)_[a-z]+(\d+)", model)
    found = spelled or of_size
    if found:
        return int(found[1])
    if re.match(r"convmixer_\d+_\d+", model):
        return 7
    return USUAL if re.match(r"(?:vit|mixer)_\d+_\d+", model) else None


def gaps(summary: Summary) -> Iterator[Table]:
    """Yield the split for every model whose two transformers were measured too.

    All speeds must come from several processes. `summary` includes what studies measured.
    """
    evidence = Evidence(summary)
    rows = list(_complete_rows(summary, kind_of(evidence.kind).policy))
    transformers = [row for row in rows if row.about.family == "vit"]
    lines: list[TableRow] = []
    for row in rows:
        patch = patch_of(row.model)
        if row.about.family == "vit" or patch in (None, USUAL):
            continue
        usual, twin = _alike(row, transformers, USUAL), _alike(row, transformers, patch)
        if usual and twin:
            lines += _line(evidence, row, usual, twin)
    if lines:
        yield Table("How the gap splits · mixer, grid and kernels", COLUMNS, lines, NOTES)


def _complete_rows(summary: Summary, policy: str) -> Iterator[Row]:
    """Yield the rows at 224 pixels under one policy that have speeds and counts."""
    for row in summary.rows:
        comparable = row.image_size == 224 and row.policy == policy
        if comparable and all(map(row.value, ("throughput", "params", "macs"))):
            yield row


def _alike(row: Row, transformers: list[Row], patch: int | None) -> str | None:
    """Return the transformer with this patch and the nearest parameters; None beyond WITHIN."""
    mine = row.exact("params")
    near = []
    for one in transformers:
        if patch_of(one.model) == patch:
            near.append((abs(one.exact("params") / mine - 1), one.model))
    distance, model = min(near, default=(math.inf, None))
    return model if distance <= WITHIN else None


def _line(evidence: Evidence, row: Row, usual: str, twin: str) -> Iterator[TableRow]:
    """Yield the factors of one model; nothing if one is unknown."""
    macs = evidence.count(twin, "macs")
    whole = _ratio(evidence, row.model, usual)
    grid = _ratio(evidence, twin, usual)
    rest = _ratio(evidence, row.model, twin)
    if not macs or whole is None or grid is None or rest is None:
        return
    mixer = math.log(macs / row.exact("macs"))
    kernels = replace(rest, value=rest.value - mixer)
    product = math.exp(grid.value + mixer + kernels.value)
    place = "inside" if whole.as_ratio.holds(product) else "OUTSIDE"
    yield [
        row.label,
        usual,
        twin,
        _cell(whole),
        _cell(grid),
        Cell(f"{math.exp(mixer):.2f}", math.exp(mixer)),
        _cell(kernels),
        f"{product:.3f}, {place} the whole's interval",
    ]


def _ratio(evidence: Evidence, model: str, reference: str) -> Effect | None:
    """Return the logarithm of the ratio of two models' throughputs."""
    return evidence.contrast({Speed(model): 1.0, Speed(reference): -1.0}, "throughput")


def _cell(effect: Effect) -> Cell:
    ratio = effect.as_ratio
    return Cell.of(interval(ratio), ratio)
