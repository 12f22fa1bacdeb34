"""Every model held against the most that this machine did in the same runs: its own fastest arithmetic and copy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.analysis.summary import Probe, Row, Summary
from bench.report.table import Cell, Column, Columns, Line, Table
from bench.report.tables.speeds import BYTES, by_speed, described
from bench.stats.formatting import number
from bench.stats.intervals import Estimate

BEYOND = 19
"""So many times the distance of the two fastest rounds the true end of a distribution lies above the fastest, at most, in 95
of 100 cases (Robson and Whitlock 1964): (1 - 0.05) / 0.05."""


@dataclass(frozen=True)
class Ceiling:
    """The most that was seen: `value` per second, at least that and, at 95 %, at most `high`; by which shape, if several."""

    most: Estimate
    shape: str

    @property
    def value(self) -> float:
        """Per second."""
        return self.most.value


@dataclass(frozen=True)
class Place:
    """A row under the roofline, at its fastest batch: multiply-adds a second, the shares of the ceilings, what bounds it."""

    row: Row
    precision: str
    batch_size: int
    rate: float
    mfu: float
    intensity: float
    bound: str
    share: float

    @property
    def fault(self) -> str | None:
        """The ceiling that cannot be one, since this row did more."""
        if self.mfu > 1:
            return "arithmetic"
        return self.bound if self.share > 1 else None


def end_of(values: Sequence[float]) -> Estimate:
    """The largest value, below which the end of their distribution does not lie, and above which it does not lie at 95 %.

    Holds where values come close to the end about evenly; with one value there is no interval.
    """
    *_, last = found = sorted(values)
    if len(found) < 2:
        return Estimate(last)
    return Estimate(last, last, last + BEYOND * (last - found[-2]), len(found))


def ceiling(probe: Probe, metric: str) -> Ceiling | None:
    """The maximum over rounds and shapes."""
    rounds = probe.rounds.get(metric)
    if not rounds:
        return None
    fastest = max(rounds, key=lambda at: rounds[at])
    return Ceiling(end_of(list(rounds.values())), probe.shapes.get(metric, {}).get(fastest, ""))


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
    lines: list[Line] = [
        [
            *(one.row.name, str(one.row.image_size), described(one.row.policy), f"b{one.batch_size}"),
            _share(one.mfu),
            Cell(number(one.intensity), one.intensity),
            one.bound,
            _share(one.share),
        ]
        for one in found
    ]
    columns: Columns = [
        *("model", "px", "policy", "batch", Column("MFU % ↑", "mfu", "%", "higher"), Column("MAC/byte", "intensity", "MAC/byte")),
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
    probes = [summary.probe(precision) for precision in dict.fromkeys(one.precision for one in found)]
    for metric, unit in (("matmul_ceiling", "GMAC/s"), ("copy_ceiling", "GB/s")):
        for probe in probes:
            top = ceiling(probe, metric) if probe else None
            if probe is not None and top is not None:
                high = f" [at most {number(top.most.high / 1e9)}]" if top.most.high is not None else ""
                shape = f" ({top.shape})" if top.shape else ""
                yield f"{probe.precision} {number(top.value / 1e9)} {unit}{high}{shape}"


def _faults(found: list[Place]) -> Iterator[str]:
    """For each ceiling that a row went over: by how much, and what that means for the others."""
    for kind, why in (
        ("arithmetic", "some shape here is faster than those that it was looked for with, or it was looked for in slower rounds"),
        ("memory", "what stays in a cache never crosses memory"),
    ):
        for precision in sorted({one.precision for one in found if one.fault == kind}):
            over = [one for one in found if one.precision == precision and one.fault == kind]
            most = max(over, key=lambda one: one.share)
            names, times = ", ".join(sorted({one.row.name for one in over})), number(max(most.mfu, most.share))
            yield (
                f"fault of the {kind} ceiling in {precision}: {names} did up to {times} times as much, so it is none ({why}); "
                "other shares of it are too large by as much"
            )


def _place(row: Row, precision: str, probe: Probe) -> Place | None:
    """Where a row stands at its fastest batch; None where a count, a speed or a ceiling is missing."""
    speeds = row.by_batch("throughput")
    counts = [row.value(name) for name in ("params", "macs", "activations")]
    tops = [ceiling(probe, name) for name in ("matmul_ceiling", "copy_ceiling")]
    if not speeds or any(top is None for top in tops) or any(count is None for count in counts):
        return None
    params, macs, activations = (count.value for count in counts if count)
    matmul, copy = (top.value for top in tops if top)
    batch = max(speeds, key=lambda size: speeds[size])
    size = BYTES[precision] * (params / batch + 2 * activations)
    seconds = {"arithmetic": macs / matmul, "memory": size / copy}
    bound = max(seconds, key=lambda name: seconds[name])
    rate = speeds[batch] * macs
    return Place(row, precision, batch, rate, rate / matmul, macs / size, bound, speeds[batch] * seconds[bound])
