"""Every model against the highest rates that this machine reached in the same runs."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

from bench.analysis.groups import grouped
from bench.analysis.roofline import MeasuredCeiling, Place, ceiling, places
from bench.analysis.rows import Summary
from bench.record.metric_units import METRICS
from bench.report.columns import described
from bench.report.notes import Caveat
from bench.report.table import Cell, Column, Columns, Table, TableRow
from bench.stats.formatting import number, scale

COLUMNS: Columns = [
    "model",
    "px",
    "policy",
    "batch",
    Column("MFU % ↑", "mfu", "%", "higher"),
    Column("MAC/byte", "intensity", "MAC/byte"),
    "bound by",
    Column("% of its bound ↑", "share_of_bound", "%", "higher"),
]
MFU_NOTE = (
    "MFU: multiply-adds per second over the ceiling of the same precision; bytes are the fewest "
    "possible: weights once per batch, every output of a convolution or product written once and "
    "read once"
)
WHY_EXCEEDED = {
    "arithmetic": "a shape in the model is faster than those of the probe, or the probe's rounds "
    "were slower",
    "memory": "data that stays in a cache never crosses memory",
}
"""Reasons for a row above a ceiling, by kind of ceiling."""


def ceilings(summary: Summary) -> Iterator[Table]:
    """Yield the place of every row under the roofline."""
    found = places(summary)
    if not found:
        return
    tops = ", ".join(_tops(summary, found))
    notes = [
        f"ceilings, the highest rates in all rounds of the same runs: {tops}; in brackets the "
        "upper bound of the true one, at 95 %",
        MFU_NOTE,
        *_faults(found),
    ]
    yield Table("Under this machine's ceilings", COLUMNS, list(map(_line, found)), notes)


def _line(place: Place) -> TableRow:
    return [
        place.row.name,
        str(place.row.image_size),
        described(place.row.policy),
        f"b{place.batch_size}",
        _share(place.mfu),
        Cell(number(place.intensity), place.intensity),
        place.bound,
        _share(place.share),
    ]


def _share(share: float) -> Cell | str:
    """Return a share in percent; none of a ceiling that is too low to have shares."""
    return Cell(f"{100 * share:.1f}", 100 * share) if share <= 1 else "ceiling too low"


def _tops(summary: Summary, found: list[Place]) -> Iterator[str]:
    """Yield every ceiling in words: arithmetic by precision, then copies."""
    precisions = dict.fromkeys(map(attrgetter("precision"), found))
    for metric in ("matmul_ceiling", "copy_ceiling"):
        for precision in precisions:
            probe = summary.probe(precision)
            top = ceiling(probe, metric) if probe else None
            if top:
                yield f"{precision} {_top(top, METRICS[metric].unit)}"


def _top(top: MeasuredCeiling, stored_unit: str) -> str:
    factor, unit = scale(stored_unit)
    most = top.most.high
    high = "" if most is None else f" [at most {number(most * factor)}]"
    shape = f" ({top.shape})" if top.shape else ""
    return f"{number(top.value * factor)} {unit}{high}{shape}"


def _faults(found: list[Place]) -> Iterator[str]:
    """Yield every ceiling that a row exceeded, by how much, and what that means for the others."""
    exceeding = grouped(filter(attrgetter("fault"), found), attrgetter("fault", "precision"))
    for kind, precision in sorted(exceeding):
        over = exceeding[kind, precision]
        most = max(over, key=attrgetter("share"))
        names = ", ".join(sorted(set(map(attrgetter("row.name"), over))))
        yield Caveat(
            f"fault of the {kind} ceiling in {precision}: {names} reached up to "
            f"{number(max(most.mfu, most.share))} times as much, so it is not a ceiling "
            f"({WHY_EXCEEDED[kind]}); other shares of it are too large by as much"
        )
