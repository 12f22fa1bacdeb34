"""The first lines of a screen: what speeds and accuracies of one machine say, in a sentence each.

A run whose own checks forbid ranking has no sentence on speeds: its grade is the first line then.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from operator import attrgetter

from bench.analysis.accuracy_groups import Contestant, Protocol, contestants_by_protocol
from bench.analysis.grade import grade
from bench.analysis.groups import grouped
from bench.analysis.rows import Quantity, Row, Summary, by_speed, ranked_quantities
from bench.report.columns import described, table_scale
from bench.report.tables.accuracies import best_top1, falling
from bench.report.tables.speeds import best_places, reference_row
from bench.stats.formatting import estimate, interval, number
from bench.stats.intervals import Estimate
from bench.stats.paired import paired_ratio

COMPARED = ("throughput", "latency")
"""Metrics that a sentence may be about; the first that was measured."""
NAMED = 3
"""Most models that a sentence names as tied."""


def headlines(summary: Summary) -> list[str]:
    """Return a sentence on speeds and one on top-1, as far as they were measured.

    Accuracies on data that say nothing of architectures have one only if there is no other, and it
    says so.
    """
    speeds = list(_speeds(summary))
    return [*speeds, *_accuracies(summary, alone=not speeds)]


def _speeds(summary: Summary) -> Iterator[str]:
    """Yield a sentence on the models that were timed alike; nothing if they must not be ranked."""
    rows, quantity = _timed_alike(summary)
    if quantity is None or not grade(summary, rows[0].image_size).marks:
        return
    where = _where(rows, quantity, chosen=any(row is rows[0] for row in summary.best))
    if len(rows) == 1:
        yield f"{_level(rows[0], quantity)} ({where}); there is no other model to compare it with"
    elif len(rows) == 2:
        yield f"{_of_two(rows, quantity)} ({where})"
    else:
        yield f"{_of_many(rows, quantity)} ({where})"


def _timed_alike(summary: Summary) -> tuple[list[Row], Quantity | None]:
    """Return the largest group of rows that can be compared, the fastest first, and by what.

    Rows under each model's best policy come before those of one policy, larger images before
    smaller ones. Handwritten kernels are left out.
    """
    found: tuple[list[Row], Quantity | None] = [], None
    sizes = sorted(set(map(attrgetter("image_size"), summary.best)), reverse=True)
    groups = [[row for row in summary.best if row.image_size == size] for size in sizes]
    for size in summary.image_sizes:
        of_size = grouped(summary.at(size), attrgetter("device", "policy"))
        groups += [of_size[key] for key in sorted(of_size)]
    for rows in groups:
        quantity = _compared(rows)
        timed = [row for row in rows if quantity in row.fair and not row.handwritten]
        if len(timed) > len(found[0]):
            found = sorted(timed, key=by_speed), quantity
    rows, quantity = found
    if quantity is not None and quantity.better == "lower":
        rows.sort(key=partial(_value, quantity))
    return rows, quantity


def _value(quantity: Quantity, row: Row) -> float:
    return row.values[quantity].value


def _compared(rows: list[Row]) -> Quantity | None:
    """Return the speed to compare rows by, at the largest batch size; None if none was timed."""
    quantities = ranked_quantities(rows)
    for metric in COMPARED:
        found = [quantity for quantity in quantities if quantity.metric == metric]
        if found:
            return max(found)
    return None


def _where(rows: list[Row], quantity: Quantity, *, chosen: bool) -> str:
    policy = "each under its best policy" if chosen else described(rows[0].policy)
    return f"{rows[0].image_size} px, {policy}, batch {quantity.batch_size}"


def _level(row: Row, quantity: Quantity) -> str:
    """Return `vit_s16 runs at 16.1 ±0.3 img/s`, or its latency."""
    _, unit = table_scale(quantity)
    value = estimate(row.values[quantity], quantity.unit)
    verb = "runs at" if quantity.better == "higher" else "takes"
    return f"{row.name} {verb} {value} {unit}"


def _ratio(row: Row, other: Row, quantity: Quantity) -> Estimate | None:
    """Return how many times as fast a row is as another one, paired by round."""
    fast, slow = row, other
    if quantity.better == "lower":
        fast, slow = other, row
    return paired_ratio(fast.fair.get(quantity, {}), slow.fair.get(quantity, {}))


def _times(ratio: Estimate) -> str:
    """Return `4.21 × [3.93, 4.60]`; the value alone, and so said, without an interval."""
    if ratio.low is None or ratio.high is None:
        return f"{number(ratio.value)} × (without an interval)"
    return f"{number(ratio.value)} × [{number(ratio.low)}, {number(ratio.high)}]"


def _of_two(rows: list[Row], quantity: Quantity) -> str:
    fast, slow = rows
    ratio = _ratio(fast, slow, quantity)
    if ratio is None:
        return f"{fast.name} and {slow.name} were not measured in the same rounds: no ratio"
    if len(best_places(rows, quantity)) > 1:
        return f"{fast.name} and {slow.name} are statistically tied: {_times(ratio)}"
    return f"{fast.name} is {_times(ratio)} as fast as {slow.name}"


def _of_many(rows: list[Row], quantity: Quantity) -> str:
    """Return which model is the fastest, against the reference and against the slowest."""
    reference = reference_row(rows)
    fastest, slowest = rows[0], rows[-1]
    lead = f"{fastest.name}, the fastest of {len(rows)} models"
    tied = [rows[place].name for place in sorted(best_places(rows, quantity))[1:]]
    if tied:
        lead += f" (statistically tied with {_named(tied)})"
    others = [(slowest, f"{slowest.name}, the slowest")]
    if reference is not fastest and reference is not slowest:
        others.insert(0, (reference, reference.name))
    said = []
    for other, name in others:
        ratio = _ratio(fastest, other, quantity)
        if ratio is not None:
            said.append(f"{_times(ratio)} as fast as {name}")
    return f"{lead}, is {' and '.join(said)}" if said else f"{lead}; no other shares its rounds"


def _named(names: list[str]) -> str:
    """Return the first few names, and the number of others."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _accuracies(summary: Summary, *, alone: bool) -> Iterator[str]:
    """Yield a sentence on the largest group of models whose top-1 was measured alike."""
    groups: list[tuple[Protocol, list[Contestant]]] = []
    for protocol, contestants in contestants_by_protocol(summary).items():
        measured = [one for one in contestants if one.top1 is not None]
        if measured and protocol.policy is None and (alone or not _caveat(measured)):
            groups.append((protocol, measured))
    if groups:
        protocol, contestants = min(groups, key=_by_worth)
        caveat = _caveat(contestants)
        yield _highest(protocol, contestants) + (f"; {caveat}" if caveat else "")


def _caveat(contestants: list[Contestant]) -> str:
    """Return what the data set of some accuracies does not say; empty for most."""
    return contestants[0].first.about.caveat


def _by_worth(group: tuple[Protocol, list[Contestant]]) -> tuple[bool, int]:
    """Return the sort key that puts data without a caveat first, then the largest group."""
    return bool(_caveat(group[1])), -len(group[1])


def _highest(protocol: Protocol, contestants: list[Contestant]) -> str:
    ranked = sorted(contestants, key=falling)
    first = ranked[0]
    top1 = f"{interval(first.top1, factor=100, places=1)} %"
    if len(ranked) == 1:
        return f"{first.name} has a top-1 of {top1} ({protocol.label})"
    tied = [ranked[place].name for place in sorted(best_top1(ranked))[1:]]
    also = f", statistically tied with {_named(tied)}" if tied else ""
    return f"{first.name} has the highest top-1 of {len(ranked)}, {top1}{also} ({protocol.label})"
