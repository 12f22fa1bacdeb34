"""Tables of speeds: one policy for all models, each model's best policy, percentiles of calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Any

from bench.analysis.grade import grade
from bench.analysis.groups import grouped
from bench.analysis.rows import Quantity, Row, Summary, by_speed, ranked_quantities
from bench.analysis.run_quality import rounds_behind
from bench.report.columns import column_of, described, place_of, table_scale, text_of
from bench.report.fill import together
from bench.report.missing import missing
from bench.report.notes import Caveat
from bench.report.table import (
    BEST_NOTE,
    Cell,
    Column,
    Columns,
    Table,
    TableRow,
    marked,
    table_of,
)
from bench.report.tables.published import IN_MEASURED, IN_MEASURED_NOTE, in_measured_row
from bench.report.tables.speed_notes import notes
from bench.stats.formatting import interval, number
from bench.stats.intervals import holm, of_calls
from bench.stats.paired import Rounds, log_ratio, paired_ratio
from bench.stats.reference import reference_model

SHARES = (0.5, 0.9, 0.99)
"""Percentiles of single calls."""
LEVEL = 0.05
"""Speeds with a smaller p-value, after Holm's correction, are told apart."""
CALLS_NOTE = (
    "each call is divided by its round's median, so that p50 is the latency; p90 needs 64 calls, "
    "p99 662"
)


def efficiency(summary: Summary) -> Iterator[Table]:
    """Yield speed, memory and counts: one table per image size, device and policy."""
    for size in summary.image_sizes:
        groups = grouped(summary.at(size), attrgetter("device", "policy"))
        for device, policy in sorted(groups):
            where = f"{size} × {size} px"
            if device:
                where += f" · {described(policy)} on {summary.machine.hardware}"
            title = f"Efficiency · {where}"
            yield _table(summary, groups[device, policy], title=title, size=size)


def best(summary: Summary) -> Iterator[Table]:
    """Yield each model under its best policy, measured in rounds that did not choose it."""
    groups = grouped(summary.best, attrgetter("image_size"))
    for size in sorted(groups, reverse=True):
        rows = sorted(map(partial(_with_counts, summary), groups[size]), key=by_speed)
        title = f"Best policy of each model · {size} × {size} px on {summary.machine.hardware}"
        table = _table(summary, rows, title=title, size=size)
        policies = map(attrgetter("policy"), rows)
        table.insert(1, Column("policy", key="policy"), map(described, policies))
        table.notes.append(
            f"chosen from {', '.join(_tried(summary, size))}; measured again, in new processes, in "
            "rounds that did not choose"
        )
        yield table


def _tried(summary: Summary, size: int) -> list[str]:
    """Return the policies that a best one could be chosen from at an image size."""
    policies = set()
    for row in summary.rows:
        if row.image_size == size and row.policy and not row.handwritten:
            policies.add(row.policy)
    return sorted(policies)


def _with_counts(summary: Summary, row: Row) -> Row:
    """Return a new row with the counts of its model at its image size, which no policy changes."""
    for other in summary.rows:
        if other.shape == row.shape and other.value("params"):
            counts = {quantity: other.values[quantity] for quantity in other.counted}
            uncounted = row.uncounted | other.uncounted
            return replace(row, values=row.values | counts, uncounted=uncounted)
    return row


def _table(summary: Summary, rows: list[Row], *, title: str, size: int) -> Table:
    rows = sorted(rows, key=by_speed)
    quantities = sorted(ranked_quantities(rows), key=_column_order)
    trust = grade(summary, size) if rounds_behind(rows) else None
    ranked = trust is None or trust.marks
    compared = compare(rows, ranked=ranked)
    table = table_of(title, map(attrgetter("name"), rows))
    for quantity in quantities:
        cells = [_cell(summary, row, quantity) for row in rows]
        best = best_places(rows, quantity) if ranked else set()
        table.add(column_of(quantity), marked(cells, best))
        if compared and quantity == compared.quantity:
            table.add(compared.column, compared.cells)
    table.notes = list(notes(summary, rows, size, trust))
    _add_published(table, summary, rows)
    if table.has_best:
        table.notes.append(BEST_NOTE)
    if compared and compared.tied:
        table.notes.append(
            f"≈ statistically tied with {compared.reference}, by the test of the interval next to "
            f"it, Holm-corrected over {len(rows) - 1} pairs"
        )
    table.notes += together(table.fills, summary.past)
    return table


def reference_row(rows: list[Row]) -> Row:
    """Return the row that speeds are compared with."""
    model = reference_model(map(attrgetter("model", "family"), rows))
    of_model = (row for row in rows if row.model == model and not row.handwritten)
    return next(of_model, rows[0])


def _is_throughput(quantity: Quantity) -> bool:
    return quantity.metric == "throughput"


def _add_published(table: Table, summary: Summary, rows: list[Row]) -> None:
    """Add the published top-1 of every row, marked, beside the speeds; nothing if none is known."""
    cells = list(map(partial(in_measured_row, summary), rows))
    if any(map(attrgetter("text"), cells)):
        keys = list(map(attrgetter("key"), table.columns))
        place = keys.index("ratio") + 1 if "ratio" in keys else len(keys)
        table.insert(place, IN_MEASURED, cells)
        table.notes.append(Caveat(IN_MEASURED_NOTE))


@dataclass(frozen=True)
class Compared:
    """The speeds of some rows over that of the reference model, paired by round.

    `cells` are in the order of the rows, with ≈ at the places in `tied`.
    """

    reference: str
    quantity: Quantity
    cells: list[Cell]
    tied: set[int]

    @property
    def column(self) -> Column:
        """The column of the ratios."""
        return Column(f"× {self.reference}", key="ratio", better="higher")


def compare(rows: list[Row], *, ranked: bool) -> Compared | None:
    """Return the throughputs of rows of one policy over the reference's, at the largest batch size.

    None if no throughput was measured. Ties are marked if speeds may be `ranked`.
    """
    quantity = max(filter(_is_throughput, ranked_quantities(rows)), default=None)
    if quantity is None:
        return None
    reference = reference_row(rows)
    tied = _tied(rows, reference, quantity) if ranked else set()
    cells = []
    for place, row in enumerate(rows):
        cells.append(ratio_cell(row, reference, quantity, mark=" ≈" if place in tied else ""))
    return Compared(reference.label, quantity, cells, tied)


def best_places(rows: list[Row], quantity: Quantity) -> set[int]:
    """Return the places of the best value of a quantity and of those statistically tied with it.

    Counts are exact. The result is empty if a timed value has no interval, since the best is
    unknown then. Handwritten rows do not compete with others.
    """
    only_handwritten = all(map(attrgetter("handwritten"), rows))
    values: dict[int, float] = {}
    rounds: dict[int, Rounds[Any]] = {}
    for place, row in enumerate(rows):
        if quantity in row.values and (only_handwritten or not row.handwritten):
            values[place] = row.values[quantity].value
            rounds[place] = row.fair.get(quantity, {})
    if len(values) < 2:
        return set()
    choose = min if quantity.better == "lower" else max
    top = choose(values, key=lambda place: values[place])
    if not any(rounds.values()):
        return {place for place, value in values.items() if value == values[top]}
    best = rounds.pop(top)
    p_values = _p_values(rounds, best)
    return {top, *_not_apart(p_values)} if len(p_values) == len(rounds) else set()


def _not_apart(p_values: Mapping[int, float]) -> set[int]:
    """Return the places whose p-values tell nothing apart."""
    return {place for place, p in p_values.items() if p >= LEVEL}


def _p_values(each: Mapping[int, Rounds[Any]], reference: Rounds[Any]) -> dict[int, float]:
    """Return the Holm-corrected p-values of being as fast as `reference`, if there are any."""
    p_values: dict[int, float] = {}
    for place, rounds in each.items():
        effect = log_ratio(rounds, reference)
        if effect is not None:
            p_values[place] = effect.p(0.0)
    return holm(p_values)


def _tied(rows: list[Row], reference: Row, quantity: Quantity) -> set[int]:
    """Return the places of the rows whose speed is statistically tied with the reference's."""
    theirs = reference.fair.get(quantity, {})
    paired = {}
    for place, row in enumerate(rows):
        rounds = row.fair.get(quantity, {})
        if row is not reference and rounds.keys() & theirs.keys():
            paired[place] = rounds
    return _not_apart(_p_values(paired, theirs))


def _column_order(quantity: Quantity) -> tuple[int, str, int]:
    return (place_of(quantity.metric), quantity.metric, quantity.batch_size)


def _cell(summary: Summary, row: Row, quantity: Quantity) -> Cell:
    if quantity in row.values:
        return value_cell(row, quantity)
    trouble = _trouble(row, quantity)
    return Cell(trouble, fill=None if trouble else missing(summary, row, quantity))


def _trouble(row: Row, quantity: Quantity) -> str:
    """Return how a quantity failed, in a word; empty if it did not fail."""
    if quantity.metric == "largest_batch":
        where = "largest batch"
    elif quantity.batch_size:
        where = f"batch {quantity.batch_size}"
    else:
        where = next((names for names in row.trouble if quantity.metric in names.split(", ")), "")
    return row.trouble.get(where, "").partition(":")[0]


def value_cell(row: Row, quantity: Quantity) -> Cell:
    """Return a measured value in the unit of its column."""
    value = row.values[quantity]
    text = text_of(quantity, value, row.details.get(quantity, []))
    return Cell.of(text, value.times(table_scale(quantity)[0]))


def ratio_cell(row: Row, reference: Row, quantity: Quantity, *, mark: str = "") -> Cell:
    """Return a speed over the reference's, paired by round; empty without a common round."""
    if row is reference:
        return Cell("1", 1.0)
    ratio = paired_ratio(row.fair.get(quantity, {}), reference.fair.get(quantity, {}))
    return Cell.of(interval(ratio) + mark, ratio) if ratio else Cell("")


def percentiles(summary: Summary) -> Iterator[Table]:
    """Yield percentiles of the latency of single calls, as far as their number allows."""
    lines: list[TableRow] = []
    for row in sorted(summary.rows, key=lambda row: (-row.image_size, row.policy, by_speed(row))):
        for quantity, windows in row.calls.items():
            if quantity.metric == "latency":
                lines += _percentile_lines(row, windows)
    if lines:
        columns: Columns = ["model", "px", "policy"]
        for share in SHARES:
            name = f"p{100 * share:.0f}"
            columns.append(Column(f"{name} ms ↓", name, "ms", "lower"))
        columns.append("calls")
        yield Table("Latency of single calls at batch 1", columns, lines, [CALLS_NOTE])


def _percentile_lines(row: Row, windows: list[list[float]]) -> Iterator[TableRow]:
    """Yield the percentiles of one latency, if there are enough calls for the second."""
    found = list(map(partial(of_calls, windows), SHARES))
    if found[1] is not None:
        calls = sum(map(len, windows))
        labels = (row.name, str(row.image_size), described(row.policy))
        yield [*labels, *map(_milliseconds, found), Cell(f"{calls:,}", calls)]


def _milliseconds(seconds: float | None) -> Cell:
    return Cell("") if seconds is None else Cell(number(seconds * 1e3), seconds * 1e3)
