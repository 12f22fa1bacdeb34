"""Tables of listings and budget matches on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.analysis.rows import Quantity
from bench.report.columns import TOP1, header_of, text_of
from bench.report.table import MACS_NOTE, Table
from bench.report.tables.reading_order import COUNTED_IN
from bench.stats.formatting import number, span
from bench.stats.intervals import Estimate

if TYPE_CHECKING:
    from bench.match.siblings import Siblings


def matches(found: Siblings, *, budget: str) -> Table:
    """Siblings of equal budget beside their reference, each with its miss on every axis and the rule that chose it."""
    cost = found.cost
    lines = [
        [
            found.reference.name,
            f"{cost.params:,}",
            number(cost.macs * 1e-9),
            str(cost.tokens or ""),
            "",
            "reference",
        ]
    ]
    for one in found.matches:
        mark = "" if one.within else ", out of tolerance: the nearest there is"
        missed = ", ".join(f"{share * 100:+.2f} %" for share in one.misses.values())
        tokens = str(one.cost.tokens or "")
        lines.append(
            [
                one.name,
                f"{one.cost.params:,}",
                number(one.cost.macs * 1e-9),
                tokens,
                f"{missed}{mark}",
                one.rule,
            ]
        )
    columns = [
        "model",
        "params",
        "GMACs",
        "tokens",
        f"miss in {budget.replace('+', ', ')}",
        "chosen by",
    ]
    title = f"Equal {budget} · {found.image_size} × {found.image_size} px"
    return Table(title, columns, lines, [*found.notes, MACS_NOTE.replace("¹ ", "MACs: ")])


def listing(title: str, rows: list[dict[str, Any]]) -> Table:
    """What `bench list` found, in the units that people read."""

    def shown(column: str, value: Any) -> str:
        if value is None:
            return ""
        if column in COUNTED_IN:
            return text_of(Quantity(column, 0, COUNTED_IN[column]), Estimate(value), [])
        if isinstance(value, list):
            return span(*value)
        if isinstance(value, bool):
            return "yes" if value else "no"
        return f"{value:.1f}" if isinstance(value, float) else str(value)

    published_top1 = f"published {header_of(TOP1, '%')}"
    headers = {"published_top1": published_top1, "top1": published_top1, "image_size": "px"}
    headers |= {column: header_of(column, "").rstrip("¹") for column in COUNTED_IN}
    # Only --json has these: the lines would be too long.
    long = ("timm", "summary") if "macs" in rows[0] else ("unit",) if "shown_as" in rows[0] else ()
    columns = [column for column in rows[0] if column not in long]
    cells = [[shown(column, row[column]) for column in columns] for row in rows]
    return Table(
        title, [headers.get(column, column.replace("_", " ")) for column in columns], cells
    )
