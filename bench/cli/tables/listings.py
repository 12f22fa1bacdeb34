"""Plug-ins and budget matches as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.analysis.rows import Quantity
from bench.report.columns import TOP1, header_of, table_scale, text_of
from bench.report.table import MACS_NOTE, Cell, Table, TableRow
from bench.stats.formatting import number, span
from bench.stats.intervals import Estimate

if TYPE_CHECKING:  # these import torch
    from bench.count.cost import Cost
    from bench.match.search import Match
    from bench.match.siblings import Siblings

COUNTED_IN = {"params": "parameter", "macs": "MAC"}
"""Columns of a listing that are counts of a model, with their stored units."""


def matches(found: Siblings, *, budget: str) -> Table:
    """Return a table of a reference and its siblings, each with its misses and its rule."""
    lines: list[TableRow] = [[*_counts(found.reference.name, found.cost), "", "reference"]]
    for sibling in found.matches:
        counts = _counts(sibling.name, sibling.cost)
        lines.append([*counts, _missed(sibling), sibling.rule])
    missed = f"miss in {budget.replace('+', ', ')}"
    headers = ["model", "params", "GMACs", "tokens", missed, "chosen by"]
    title = f"Equal {budget} · {found.image_size} × {found.image_size} px"
    return Table(title, headers, lines, [*found.notes, MACS_NOTE.replace("¹ ", "MACs: ")])


def _counts(name: str, cost: Cost) -> TableRow:
    params = Cell(f"{cost.params:,}", cost.params)
    return [name, params, number(cost.macs * 1e-9), str(cost.tokens or "")]


def _missed(sibling: Match) -> str:
    text = ", ".join(f"{share * 100:+.2f} %" for share in sibling.misses.values())
    return text if sibling.within else f"{text}, out of tolerance: nothing is nearer"


def listing(title: str, rows: list[dict[str, Any]]) -> Table:
    """Return a table of what `bench list` found, in readable units.

    `rows` have equal keys; there is at least one.
    """
    columns = [column for column in rows[0] if column not in _only_in_json(rows[0])]
    lines: list[TableRow] = []
    for row in rows:
        lines.append([_shown(column, row[column]) for column in columns])
    return Table(title, list(map(_header, columns)), lines)


def _only_in_json(row: dict[str, Any]) -> tuple[str, ...]:
    """Return the columns that would make the lines too long."""
    if "macs" in row:
        return ("timm", "summary")
    return ("unit",) if "shown_as" in row else ()


def _header(column: str) -> str:
    if column in ("published_top1", "top1"):
        return f"published {header_of(TOP1, '%')}"
    if column in COUNTED_IN:
        return header_of(column, "").rstrip("¹")
    return "px" if column == "image_size" else column.replace("_", " ")


def _shown(column: str, value: Any) -> Cell | str:
    if value is None:
        return ""
    if column in COUNTED_IN:
        quantity = Quantity(column, 0, COUNTED_IN[column])
        return Cell(text_of(quantity, Estimate(value), []), value * table_scale(quantity)[0])
    if isinstance(value, list):
        return span(*value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
