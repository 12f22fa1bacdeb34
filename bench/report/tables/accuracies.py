"""Tables of accuracies, one per protocol; of other views; and of the cost of training."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import chain, starmap
from operator import attrgetter
from typing import Any

from bench.analysis.accuracy_groups import (
    Contestant,
    Protocol,
    contestants_by_protocol,
    curves,
    images_per_step,
)
from bench.analysis.rows import Accuracy, Quantity, Summary
from bench.report.columns import TOP1, column_of, header_of, table_scale, text_of
from bench.report.fill import together
from bench.report.missing import missing_count
from bench.report.notes import Caveat
from bench.report.table import (
    Cell,
    Column,
    Columns,
    Table,
    TableRow,
    marked,
    table_of,
)
from bench.report.tables.accuracy_notes import fit_note, notes
from bench.stats.formatting import interval, number
from bench.stats.intervals import Estimate, difference

PARAMS = Quantity("params", 0, "parameter", "lower")
TOP1_COLUMN = Column(f"{header_of(TOP1, '%')} ↑ [95 %]", TOP1, "%", "higher")
TOP5_COLUMN = Column("top-5 %", "top5", "%", "higher")
TIME_COLUMN = Column("training s ↓", "train_s", "s", "lower")
SPEED_COLUMN = Column("images/s ↑", "train_images_per_s", "img/s", "higher")
MEMORY_COLUMN = Column("peak memory GB ↓", "train_peak_memory", "GB", "lower")
BEST_NOTE = (
    "bold: the best, and models statistically tied with it (the 95 % interval of the difference "
    "contains 0)"
)
VIEWS_NOTE = Caveat(
    "only the first column is a result: its view was fixed beforehand; the best of the others is "
    "not"
)
LEVELS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Validation accuracies whose cost is shown if a model reaches them."""
COST_COLUMNS: Columns = [
    "model",
    Column("select top-1", "select", "%"),
    Column("epochs ↓", "epochs", "", "lower"),
    TIME_COLUMN,
    Column("TMACs ↓", "train_macs", "TMAC", "lower"),
]
COST_NOTES = [
    "medians over seeds, if more than half of them got there; read at the 20 evaluations on the "
    "validation split (select)",
    Caveat("read within one schedule: stopping there would be another, worse training run"),
    "TMACs are 10¹² multiply-adds; a step counts as three forward passes",
]


def accuracy(summary: Summary) -> Iterator[Table]:
    """Yield one table per protocol; two recipes or two ways of tuning never share one.

    Evaluations under a policy have a table of their own, next to float32's.
    """
    for protocol, contestants in contestants_by_protocol(summary).items():
        if protocol.policy is None:
            yield _table(protocol, contestants, summary)


def _table(protocol: Protocol, contestants: list[Contestant], summary: Summary) -> Table:
    ranked = sorted(contestants, key=falling)
    shown = [*ranked, *sorted(_baselines(protocol, summary), key=attrgetter("name"))]
    table = table_of(_title("Top-1", protocol), map(attrgetter("name"), shown))
    table.add("family", map(attrgetter("family"), shown))
    table.add(column_of(PARAMS), map(partial(_params, summary), shown))
    table.add(TOP1_COLUMN, marked(list(map(top1_cell, shown)), best_top1(ranked)))
    table.add(TOP5_COLUMN, map(_top5, shown))
    for quantity in sorted(set(chain.from_iterable(map(attrgetter("others"), shown)))):
        table.add(column_of(quantity), map(partial(_value, quantity), shown))
    if protocol.recipe:
        _add_training(table, shown, protocol)
    else:
        table.add("right", map(_right, shown))
    table.notes = list(notes(contestants, protocol, summary))
    table.notes += filter(None, map(fit_note, map(attrgetter("first"), shown)))
    if table.has_best:
        table.notes.append(BEST_NOTE)
    table.notes += together(table.fills, summary.past)
    return table


def _baselines(protocol: Protocol, summary: Summary) -> Iterator[Contestant]:
    """Yield the baselines of a protocol's data set."""
    for row in summary.accuracies:
        if row.arm.data == protocol.data and row.arm.baseline:
            yield Contestant(row.name, [row])


def _add_training(table: Table, shown: list[Contestant], protocol: Protocol) -> None:
    """Add columns on the training runs."""
    table.add("seeds", map(_seeds, shown))
    if protocol.equalise:
        table.add("epochs", map(partial(_detail, "epochs"), shown))
    if protocol.tuning:
        table.add("rate", map(_learning_rate, shown))
    table.add(TIME_COLUMN, map(partial(_detail, "train_s"), shown))
    table.add(SPEED_COLUMN, map(partial(_detail, "images_per_s"), shown))
    table.add(MEMORY_COLUMN, map(_peak_memory, shown))


def falling(one: Contestant) -> float:
    """Return the sort key that puts the highest top-1 first."""
    return -(one.top1.value if one.top1 else 0)


def _seeds(one: Contestant) -> str:
    return str(len(one.measured)) if one.first.arm.recipe else ""


def _learning_rate(one: Contestant) -> Cell:
    return _figure(one.first.arm.learning_rate)


def _right(one: Contestant) -> str:
    """Return how many images were answered right."""
    detail = one.first.detail
    return f"{detail['correct']:,} / {detail['images']:,}" if one.first.top1 else ""


def _params(summary: Summary, one: Contestant) -> Cell:
    row = one.first
    if row.arm.baseline:
        return Cell("")
    counted = summary.count(row.model, "params")
    if counted is None:
        return Cell("", fill=missing_count(row.model, row.arm.image_size, "params"))
    return Cell(text_of(PARAMS, counted, []), counted.value)


def top1_cell(one: Contestant) -> Cell:
    """Return top-1 in percent with its interval, and the fate of seeds without a top-1."""
    counts = Counter(row.status for row in one.rows if row.status != "ok")
    several = len(one.rows) > 1
    words = (f"{count} {word}" if several else word for word, count in counts.items())
    trouble = ", ".join(words)
    top1 = one.top1
    if not top1:
        return Cell(trouble)
    text = interval(top1, factor=100, places=1)
    return Cell.of(f"{text} ({trouble})" if trouble else text, top1.times(100.0))


def best_top1(ranked: list[Contestant]) -> set[int]:
    """Return the places of the best top-1 and of those tied with it; empty below two of them."""
    measured = [place for place, one in enumerate(ranked) if one.top1]
    if len(measured) < 2:
        return set()
    best = ranked[0]
    return {place for place in measured if place == 0 or not _apart(best, ranked[place])}


def _apart(left: Contestant, right: Contestant) -> bool:
    """True if the interval of the difference excludes 0.

    That is Welch's over seeds, else Wald's of two shares.
    """
    effect = difference(left.shares, right.shares)
    if effect:
        return not effect.estimate.holds(0.0)
    width = math.hypot(_half_width(left.top1), _half_width(right.top1))
    return abs(left.shares[0] - right.shares[0]) > width


def _half_width(top1: Estimate | None) -> float:
    """Return half the width of an interval; without one, nothing is told apart."""
    half = top1.half_width if top1 else None
    return math.inf if half is None else half


def _title(words: str, protocol: Protocol) -> str:
    return " · ".join([words, *protocol.parts])


def _top5(one: Contestant) -> Cell:
    """Return the mean top-5 in percent; empty if it is always 100, and for a baseline."""
    arm = one.first.arm
    if arm.num_classes <= 5 or arm.baseline:
        return Cell("")
    shares = []
    for row in one.measured:
        if "top5_correct" in row.detail:
            shares.append(row.detail["top5_correct"] / row.detail["images"])
    value = 100 * statistics.fmean(shares) if shares else None
    return Cell("" if value is None else f"{value:.1f}", value)


def _value(quantity: Quantity, one: Contestant) -> Cell:
    value = one.value(quantity)
    if not value:
        return Cell("")
    return Cell.of(text_of(quantity, value, []), value.times(table_scale(quantity)[0]))


def _figure(value: float | None) -> Cell:
    return Cell("" if value is None else number(value), value)


def _detail(name: str, one: Contestant) -> Cell:
    return _figure(one.detail(name))


def _peak_memory(one: Contestant) -> Cell:
    """Return the peak memory in GB."""
    peak = one.detail("peak_memory_bytes")
    return _figure(peak and peak / 1e9)


def views(summary: Summary) -> Iterator[Table]:
    """Yield top-1 of the same weights at other crops and sizes."""
    for protocol, contestants in contestants_by_protocol(summary).items():
        seeds = chain.from_iterable(map(attrgetter("measured"), contestants))
        rows = [row for row in seeds if row.detail.get("spread")]
        if not rows:
            continue
        seen = sorted(set(chain.from_iterable(row.detail["spread"] for row in rows)))
        columns = ["model", "own view", *seen, "spread, points"]
        lines = list(map(partial(_views_line, seen), rows))
        yield Table(_title("Top-1 at other views", protocol), columns, lines, [VIEWS_NOTE])


def _views_line(seen: list[str], row: Accuracy) -> list[str]:
    spread = row.detail["spread"]
    own = row.top1.value if row.top1 else 0.0
    values = [*spread.values(), own]
    others = [f"{spread[view] * 100:.2f}" if view in spread else "" for view in seen]
    return [row.name, f"{own * 100:.2f}", *others, f"{(max(values) - min(values)) * 100:.2f}"]


def training_cost(summary: Summary) -> Iterator[Table]:
    """Yield the cost of reaching given validation accuracies, within one schedule."""
    macs = {row.model: row.value("macs") for row in summary.rows}
    for protocol, contestants in contestants_by_protocol(summary).items():
        lines: list[TableRow] = []
        for one in contestants:
            lines += _cost_lines(one, macs.get(one.first.model))
        if lines:
            yield Table(_title("Training cost", protocol), COST_COLUMNS, lines, COST_NOTES)


def _cost_lines(one: Contestant, macs: Estimate | None) -> Iterator[TableRow]:
    """Yield the cost of each level, up to the last that more than half of the seeds reach."""
    trainings = curves(one)
    for level in LEVELS:
        reached = list(filter(None, starmap(partial(_first_look, level), trainings)))
        if not trainings or len(reached) <= len(trainings) / 2:
            return
        epochs, seconds = map(statistics.median, zip(*reached, strict=True))
        timed = seconds if one.detail("train_s") is not None else None
        yield [
            one.name,
            Cell(f"{level:.0%}", 100 * level),
            _figure(epochs),
            _figure(timed),
            _figure(_tmacs(one.first, epochs, macs)),
        ]


def _tmacs(row: Accuracy, epochs: float, macs: Estimate | None) -> float | None:
    """Return the multiply-adds of a training run's first epochs, in 10¹²; None without a count."""
    if not macs:
        return None
    images = row.detail["steps"] / row.detail["epochs"] * epochs * images_per_step(row)
    return 3 * macs.value * images * 1e-12


def _first_look(level: float, row: Accuracy, arrays: dict[str, Any]) -> tuple[float, float] | None:
    """Return epochs and seconds at the first evaluation with at least this accuracy."""
    looks = zip(arrays["select_step"], arrays["select_seconds"], arrays["select_top1"], strict=True)
    steps, epochs = float(row.detail["steps"]), float(row.detail["epochs"])
    for step, second, value in looks:
        if value >= level:
            return float(step) / steps * epochs, float(second)
    return None
