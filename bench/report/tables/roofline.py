"""Every model held against the most that this machine did in the same runs: its own fastest arithmetic and copy."""

from __future__ import annotations

from collections.abc import Iterator

from bench.analysis.roofline import Place, ceiling, places
from bench.analysis.rows import Summary
from bench.record.metric_units import METRICS
from bench.report.columns import described
from bench.report.table import Cell, Column, Columns, Line, Table
from bench.stats.formatting import number, scale


def ceilings(summary: Summary) -> Iterator[Table]:
    """The places as a table."""
    found = places(summary)
    if not found:
        return
    lines: list[Line] = [
        [
            *(
                one.row.name,
                str(one.row.image_size),
                described(one.row.policy),
                f"b{one.batch_size}",
            ),
            _share(one.mfu),
            Cell(number(one.intensity), one.intensity),
            one.bound,
            _share(one.share),
        ]
        for one in found
    ]
    columns: Columns = [
        *(
            "model",
            "px",
            "policy",
            "batch",
            Column("MFU % ↑", "mfu", "%", "higher"),
            Column("MAC/byte", "intensity", "MAC/byte"),
        ),
        *("bound by", Column("% of its bound ↑", "share_of_bound", "%", "higher")),
    ]
    notes = [
        f"ceilings, the most of all rounds of the same runs: {', '.join(_tops(summary, found))}; in brackets what the true one is at "
        "most, at 95 %",
        "MFU: multiply-adds per second over the ceiling of the same precision; bytes are the fewest possible: weights once per "
        "batch, every output of a convolution or product written once and read once",
        *_faults(found),
    ]
    yield Table("Under this machine's ceilings", columns, lines, notes)


def _share(share: float) -> Cell | str:
    """A share in percent; none where a ceiling is too low to have shares."""
    return Cell(f"{100 * share:.1f}", 100 * share) if share <= 1 else "ceiling too low"


def _tops(summary: Summary, found: list[Place]) -> Iterator[str]:
    """Every ceiling in words: arithmetic by precision, then copies."""
    probes = [
        summary.probe(precision) for precision in dict.fromkeys(one.precision for one in found)
    ]
    for metric in ("matmul_ceiling", "copy_ceiling"):
        factor, unit = scale(METRICS[metric].unit)
        for probe in probes:
            top = ceiling(probe, metric) if probe else None
            if probe is not None and top is not None:
                high = (
                    f" [at most {number(top.most.high * factor)}]"
                    if top.most.high is not None
                    else ""
                )
                shape = f" ({top.shape})" if top.shape else ""
                yield f"{probe.precision} {number(top.value * factor)} {unit}{high}{shape}"


def _faults(found: list[Place]) -> Iterator[str]:
    """For each ceiling that a row went over: by how much, and what that means for the others."""
    for kind, why in (
        (
            "arithmetic",
            "some shape here is faster than those that it was looked for with, or it was looked for in slower rounds",
        ),
        ("memory", "what stays in a cache never crosses memory"),
    ):
        for precision in sorted({one.precision for one in found if one.fault == kind}):
            over = [one for one in found if one.precision == precision and one.fault == kind]
            most = max(over, key=lambda one: one.share)
            names, times = (
                ", ".join(sorted({one.row.name for one in over})),
                number(max(most.mfu, most.share)),
            )
            yield (
                f"fault of the {kind} ceiling in {precision}: {names} did up to {times} times as much, so it is none ({why}); "
                "other shares of it are too large by as much"
            )
