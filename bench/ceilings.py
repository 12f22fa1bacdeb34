"""Every model held against what this machine did at best in the same runs: its own matrix product and copy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.speed_tables import BYTES, by_speed, described
from bench.summary import Probe, Row, Summary
from bench.table import Cell, Column, Columns, Line, Table
from bench.units import number

FAR_OVER = 1.5
"""A share of the ceiling that drift does not explain."""


@dataclass(frozen=True)
class Place:
    """A row under the roofline, at its fastest batch: share of the arithmetic ceiling, MACs per byte, what bounds it."""

    row: Row
    precision: str
    batch_size: int
    mfu: float
    intensity: float
    bound: str
    share: float


def places(summary: Summary) -> list[Place]:
    """Every row whose counts, speed and ceilings are known, the largest images first."""
    found = []
    for row in sorted(summary.rows, key=lambda row: (-row.image_size, row.policy, by_speed(row))):
        precision = next((part for name in row.policy.split("+") if (part := name.removesuffix("_autocast")) in BYTES), "fp32")
        probe = summary.probe(precision)
        if probe is not None and (place := _place(row, precision, probe)):
            found.append(place)
    return found


def ceilings(summary: Summary) -> Iterator[Table]:
    """The places as a table."""
    found = places(summary)
    if not found:
        return
    tops = {}
    for precision in dict.fromkeys(one.precision for one in found):
        probe = summary.probe(precision)
        assert probe is not None
        tops[precision] = f"{precision} {number((probe.median('matmul_ceiling') or 0) / 1e9)} GMAC/s"
        bandwidth = f"{number((probe.median('copy_ceiling') or 0) / 1e9)} GB/s"
    lines: list[Line] = [
        [
            *(one.row.name, str(one.row.image_size), described(one.row.policy), f"b{one.batch_size}"),
            Cell(f"{100 * one.mfu:.1f}", 100 * one.mfu),
            Cell(number(one.intensity), one.intensity),
            one.bound,
            Cell(f"{100 * one.share:.1f}", 100 * one.share),
        ]
        for one in found
    ]
    columns: Columns = [
        *("model", "px", "policy", "batch", Column("MFU % ↑", "mfu", "%", "higher"), Column("MAC/byte", "intensity", "MAC/byte")),
        *("bound by", Column("% of its bound ↑", "share_of_bound", "%", "higher")),
    ]
    notes = [
        f"ceilings, medians of a large matrix product and a large copy in the same runs: {', '.join(tops.values())}, {bandwidth}",
        "MFU: multiply-adds per second over the ceiling of the same precision; bytes are the fewest possible: weights once per "
        "batch, every output of a convolution or product written once and read once",
    ]
    if slow := sorted({one.precision for one in found if one.share > FAR_OVER}):
        notes.append(
            f"far over 100: in {', '.join(slow)} the large matrix product is slower here than the models' own operators, as on "
            "processors without instructions for it: no ceiling"
        )
    if any(1 < one.share <= FAR_OVER for one in found):
        notes.append("over 100: the machine was slower while its ceiling was timed, in few windows, than while the model was")
    yield Table("Under this machine's ceilings", columns, lines, notes)


def _place(row: Row, precision: str, probe: Probe) -> Place | None:
    """Where a row stands at its fastest batch; None where a count, a speed or a ceiling is missing."""
    speeds = row.by_batch("throughput")
    counts = [row.value(name) for name in ("params", "macs", "activations")]
    matmul, copy = probe.median("matmul_ceiling"), probe.median("copy_ceiling")
    if not speeds or matmul is None or copy is None or any(count is None for count in counts):
        return None
    params, macs, activations = (count.value for count in counts if count)
    batch = max(speeds, key=lambda size: speeds[size])
    size = BYTES[precision] * (params / batch + 2 * activations)
    seconds = {"arithmetic": macs / matmul, "memory": size / copy}
    bound = max(seconds, key=lambda name: seconds[name])
    return Place(row, precision, batch, speeds[batch] * macs / matmul, macs / size, bound, speeds[batch] * seconds[bound])
