"""Tables of speeds: one fixed policy for all, each model's best, and percentiles."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from bench.analysis import published
from bench.analysis.grade import Grade, grade
from bench.analysis.rows import Quantity, Row, Summary, by_speed
from bench.analysis.run_quality import (
    canary_drift,
    processes_behind,
    rounds_behind,
    sentinel,
    without_interval,
)
from bench.config import COMMAND
from bench.forecast.forecast import evaluating
from bench.record.product_names import is_product
from bench.report.columns import column_of, described, place_of, table_scale, text_of
from bench.report.fill import together
from bench.report.missing import missing
from bench.report.table import BEST_NOTE, MACS_NOTE, Cell, Column, Columns, Line, Table, marked
from bench.stats.formatting import duration, interval, number, span
from bench.stats.intervals import holm, of_calls, smallest_within
from bench.stats.paired import Rounds, apart, effect_of, paired_ratio
from bench.stats.reference import reference_model, sentinel_size

HANDWRITTEN_NOTE = (
    "† kernels written for this model, by this project, or on a CPU the compiler told what suits it (docs/fused.md): not what libraries "
    "make of it by themselves; never chosen as a best policy"
)
KNEE = 0.05
HOST_BOUND = 0.9
SHARES = (0.5, 0.9, 0.99)
IMAGENET_IMAGES = 50_000
LEVEL = 0.05
"""What has a smaller p-value, after Holm's correction, can be told apart."""


def efficiency(summary: Summary) -> Iterator[Table]:
    """Speed, memory and counts: one table per image size, device and policy; ratios only inside one."""
    groups: dict[tuple[int, str, str], list[Row]] = {}
    for row in summary.rows:
        groups.setdefault((-row.image_size, row.device, row.policy), []).append(row)
    for (size, device, policy), rows in sorted(groups.items()):
        where = f"{-size} × {-size} px"
        if device:
            where += f" · {described(policy)} on {summary.machine.hardware}"
        yield _table(summary, rows, title=f"Efficiency · {where}", size=-size)


def best(summary: Summary) -> Iterator[Table]:
    """Each model under the policy that suits it best, measured on rounds that did not choose it."""
    for size in sorted({row.image_size for row in summary.best}, reverse=True):
        rows = [_with_counts(summary, row) for row in summary.best if row.image_size == size]
        on = summary.machine.hardware
        tried = sorted(
            {
                row.policy
                for row in summary.rows
                if row.image_size == size and row.policy and not row.handwritten
            }
        )
        table = _table(
            summary,
            rows,
            title=f"Best policy of each model · {size} × {size} px on {on}",
            size=size,
        )
        table.insert(
            1,
            Column("policy", key="policy"),
            [described(row.policy) for row in sorted(rows, key=by_speed)],
        )
        table.notes.append(
            f"chosen from {', '.join(tried)}; measured again, in new processes, on rounds that did not choose"
        )
        yield table


def _with_counts(summary: Summary, row: Row) -> Row:
    """A new row: what was measured to confirm a choice, and the counts of its model at this size, which no policy changes."""
    same = (
        one
        for one in summary.rows
        if (one.model, one.image_size) == (row.model, row.image_size) and one.value("params")
    )
    counted = next(same, None)
    if counted is None:
        return row
    counts = {quantity: counted.values[quantity] for quantity in counted.counted}
    return replace(row, values=row.values | counts, uncounted=row.uncounted | counted.uncounted)


def _table(summary: Summary, rows: list[Row], *, title: str, size: int) -> Table:
    rows = sorted(rows, key=by_speed)
    chosen = reference_model((row.model, row.about.family) for row in rows)
    reference = next((row for row in rows if row.model == chosen and not row.handwritten), rows[0])
    quantities = sorted(
        {quantity for row in rows for quantity in row.values if quantity.better != "none"},
        key=_by_kind,
    )
    ratio_of = max(
        (quantity for quantity in quantities if quantity.metric == "throughput"), default=None
    )
    table = Table(title, ["model"], [[row.name] for row in rows])
    trust = grade(summary, size) if rounds_behind(rows) else None
    ranked = trust is None or trust.marks
    alike = _alike(rows, reference, ratio_of) if ratio_of and ranked else set()
    best = False
    for quantity in quantities:
        cells = [_cell(summary, row, quantity) for row in rows]
        chosen_cells = marked(cells, best_places(rows, quantity)) if ranked else cells
        best |= any(cell.best for cell in chosen_cells)
        table.add(column_of(quantity), chosen_cells)
        if quantity == ratio_of:
            ratios = [
                ratio_cell(row, reference, quantity, mark=" ≈" if place in alike else "")
                for place, row in enumerate(rows)
            ]
            table.add(Column(f"× {reference.model}", key="ratio", better="higher"), ratios)
    table.notes = list(_notes(summary, rows, size, trust))
    if best:
        table.notes.append(BEST_NOTE)
    if alike:
        pairs = len(rows) - 1
        table.notes.append(
            f"≈ cannot be told from {reference.model} by the test of the interval beside it, Holm-corrected over {pairs} pairs"
        )
    table.notes += together(
        (cell.fill for line in table.cells for cell in line if cell.fill), summary.past
    )
    return table


def best_places(rows: list[Row], quantity: Quantity) -> set[int]:
    """Where the best value of a quantity stands, and those that cannot be told from it; counts are exact.

    None where one that was timed has no interval: nobody knows then which is the best. Handwritten rows are no competition
    for others.
    """
    compete = [row for row in rows if not row.handwritten] or rows
    found = {
        place: row.values[quantity].value
        for place, row in enumerate(rows)
        if quantity in row.values and row in compete
    }
    if len(found) < 2:
        return set()
    top = (min if quantity.better == "lower" else max)(found, key=lambda place: found[place])
    if not any(rows[place].fair.get(quantity) for place in found):
        return {place for place in found if found[place] == found[top]}
    apart = _apart(
        {place: rows[place].fair.get(quantity, {}) for place in found if place != top},
        rows[top].fair.get(quantity, {}),
    )
    return (
        {top, *(place for place, p in apart.items() if p >= LEVEL)}
        if len(apart) == len(found) - 1
        else set()
    )


def _apart(each: Mapping[int, Rounds[Any]], there: Rounds[Any]) -> dict[int, float]:
    """The p-values of "as fast as `there`", corrected for how many there are; without those that have no interval.

    By common rounds; of runs that have none in common by the spread of both.
    """
    found = {
        place: effect_of([(1.0, here), (-1.0, there)])
        if here.keys() & there.keys()
        else apart(here, there)
        for place, here in each.items()
    }
    return holm({place: effect.p(0.0) for place, effect in found.items() if effect is not None})


def _alike(rows: list[Row], reference: Row, quantity: Quantity) -> set[int]:
    """The places of those whose speed cannot be told from the reference's, corrected for how many are compared."""
    each = {
        place: row.fair[quantity]
        for place, row in enumerate(rows)
        if row is not reference and quantity in row.fair
    }
    paired = {
        place: here
        for place, here in each.items()
        if here.keys() & reference.fair.get(quantity, {}).keys()
    }
    return {
        place for place, p in _apart(paired, reference.fair.get(quantity, {})).items() if p >= LEVEL
    }


def _by_kind(quantity: Quantity) -> tuple[int, str, int]:
    return (place_of(quantity.metric), quantity.metric, quantity.batch_size)


def _cell(summary: Summary, row: Row, quantity: Quantity) -> Cell:
    found = row.values.get(quantity)
    if found is None:
        if trouble := _trouble(row, quantity):
            return Cell(trouble)
        return Cell("", fill=missing(summary, row, quantity))
    return value_cell(row, quantity)


def _trouble(row: Row, quantity: Quantity) -> str:
    """How a quantity failed, in a word; empty where it did not."""
    if quantity.metric == "largest_batch":
        where = "largest batch"
    elif quantity.batch_size:
        where = f"batch {quantity.batch_size}"
    else:
        where = next((names for names in row.trouble if quantity.metric in names.split(", ")), "")
    return row.trouble.get(where, "").partition(":")[0]


def value_cell(row: Row, quantity: Quantity) -> Cell:
    """A value that was measured, in the unit of its column."""
    found = row.values[quantity]
    return Cell.of(
        text_of(quantity, found, row.details.get(quantity, [])),
        found.times(table_scale(quantity)[0]),
    )


def ratio_cell(row: Row, reference: Row, quantity: Quantity, *, mark: str = "") -> Cell:
    """A speed over the reference's, paired by round; empty where they share none."""
    if row is reference:
        return Cell("1", 1.0)
    found = paired_ratio(row.fair.get(quantity, {}), reference.fair.get(quantity, {}))
    return Cell.of(interval(found) + mark, found) if found else Cell("")


def _notes(summary: Summary, rows: list[Row], size: int, trust: Grade | None) -> Iterator[str]:
    if trust:
        yield trust.line if trust.marks else f"{trust.line}: no bold, no ≈ in this table"
    missed = {
        name: count for row in rows for name, count in row.uncounted.items() if is_product(name)
    }
    if any(row.value("macs") for row in rows):
        yield f"{MACS_NOTE}; {'UNCOUNTED: ' + ', '.join(missed) if missed else 'no convolution, matrix product or attention uncounted'}"
    yield from _budgets(rows, size)
    yield from _not_measured(summary, rows, size)
    if any(row.values for row in rows if row.device):
        yield _method(summary, rows, size)
        yield from _marks(rows)
    for row in rows:
        for where, text in row.trouble.items():
            yield f"{row.model}, {where}: {text}"


def _marks(rows: list[Row]) -> Iterator[str]:
    """What the reader has to know of single models."""
    if any(row.handwritten for row in rows):
        yield HANDWRITTEN_NOTE
    if knees := [
        f"{row.name} {knee}"
        for row in rows
        if len(row.by_batch("throughput")) > 1 and (knee := _knee(row))
    ]:
        yield f"knee, the smallest batch within {KNEE:.0%} of the best throughput: {', '.join(knees)}"
    if bound := [row.name for row in rows if _host_bound(row)]:
        yield f"host-bound at batch 1, the host takes over {HOST_BOUND:.0%} of the wall time: {', '.join(bound)}"
    if unsteady := [row.name for row in rows if row.unsteady]:
        yield f"warm-up never settled: {', '.join(unsteady)}"
    if hopeless := [row.name for row in rows if row.hopeless]:
        yield f"left after few rounds, another policy of theirs was at least twice as fast in each: {', '.join(hopeless)}"
    if short := [row.name for row in rows if row.short]:
        yield f"ended by the time, a larger --time-budget goes on from here: {', '.join(short)}"


def _knee(row: Row) -> int | None:
    return smallest_within(row.by_batch("throughput"), KNEE)


def _host_bound(row: Row) -> bool:
    """Whether a GPU waits for the host: enqueueing takes nearly as long as the whole call."""
    pairs = [
        (detail["host_s"], value)
        for quantity, details in row.details.items()
        if quantity.metric == "latency" and row.device != "cpu"
        for detail, value in zip(details, row.rounds[quantity].values(), strict=True)
    ]
    return bool(pairs) and statistics.median(host / wall for host, wall in pairs) > HOST_BOUND


def _budgets(rows: list[Row], size: int) -> Iterator[str]:
    """How unequal the budgets are, seen from the ConvMixer, and the command that matches them."""
    counted = [row for row in rows if row.value("params") and row.value("macs")]
    reference = next((row for row in counted if row.about.family == "convmixer"), None)
    others = [row for row in counted if row.about.family != "convmixer"]
    if reference is None or not others:
        return
    spans = []
    for name, metric in (("parameters", "params"), ("MACs", "macs")):
        ratios = [_exact(row, metric) / _exact(reference, metric) for row in others]
        spans.append(f"{name} {min(ratios):.2f} to {max(ratios):.2f} ×")
    yield f"budgets: {', '.join(spans)} those of {reference.model}"
    families = ",".join(
        dict.fromkeys(
            row.about.family for row in others if row.about.family in ("vit", "mixer", "resnet")
        )
    )
    if families and reference.model != "convmixer_digits":
        at = "" if size == 224 else f" --image-size {size}"
        yield f"match them: {COMMAND} run --reference {reference.model} --match {families} --budget params{at}"


def _exact(row: Row, metric: str) -> float:
    found = row.value(metric)
    assert found is not None
    return found.value


def _not_measured(summary: Summary, rows: list[Row], size: int) -> Iterator[str]:
    """What is missing and the command that measures it."""
    # At 224 pixels the question is ImageNet; a small data set does not answer it.
    measured = {
        row.model
        for row in summary.accuracies
        if row.top1 and (size != 224 or row.arm.data.startswith("imagenet"))
    }
    missing = list({row.model: row for row in rows if row.model not in measured}.values())
    if not missing:
        return
    tags = {
        row.model: published.tag_to_evaluate(row.about.timm_name) for row in missing if size == 224
    }
    named = [model for model, tag in tags.items() if tag]
    if named:
        seconds = evaluating(
            [(model, size) for model in named], IMAGENET_IMAGES, summary.machine.kind, summary.past
        )
        about = "" if seconds is None else f" (about {duration(seconds)} on this machine)"
        yield (
            f"top-1 not measured; published weights are evaluated by: {COMMAND} run --metrics top1 --data imagenet:/path "
            f"--models {shlex.quote(','.join(f'{model}@{tags[model]}' for model in named))}{about}"
        )
    elif size == 32:
        models = shlex.quote(",".join(row.model for row in missing))
        yield f"top-1 not measured for {len(missing)} models; {COMMAND} run --metrics top1 --data digits --models {models}"


def _method(summary: Summary, rows: list[Row], size: int) -> str:
    """How the figures of a table came about and how much to believe them."""
    rounds = rounds_behind(rows)
    text = "median of interleaved rounds"
    if rounds:
        text = f"median of {span(min(rounds), max(rounds), places=0)} interleaved rounds"
        processes = processes_behind(rows)
        text += (
            f" in {span(min(processes), max(processes), places=0)} processes"
            if max(processes) > 1
            else " in one process"
        )
        text += ", 95 % interval over rounds and processes" if max(processes) > 1 else ""
        if single := without_interval(rows):
            text += f"; no interval and no mark for {', '.join(single)}: one process, or fewer than 6 rounds (--force measures anew)"
    if pair := sentinel(summary, sentinel_size(size)):
        text += f"; sentinel deit_s16 : vit_s16 (one graph, has to be 1) = {interval(pair)}"
    text += f"; {summary.disturbed} of {summary.windows} windows disturbed by others"
    if summary.disturbed:
        text += " (medians as measured; in ratios each window is held against the share of the processors left to it)"
    if (drift := canary_drift(summary)) is not None:
        text += f"; canary varied by {drift:.0%}"
    return text


def percentiles(summary: Summary) -> Iterator[Table]:
    """What single calls took, as far out as their number tells."""
    lines: list[Line] = []
    for row in sorted(summary.rows, key=lambda row: (-row.image_size, row.policy, by_speed(row))):
        for quantity, windows in row.calls.items():
            found = (
                [of_calls(windows, share) for share in SHARES]
                if quantity.metric == "latency"
                else []
            )
            if found and found[1] is not None:
                shown = [
                    Cell("") if one is None else Cell(number(one * 1e3), one * 1e3) for one in found
                ]
                calls = sum(map(len, windows))
                lines.append(
                    [
                        row.name,
                        str(row.image_size),
                        described(row.policy),
                        *shown,
                        Cell(f"{calls:,}", calls),
                    ]
                )
    if lines:
        shares = [f"p{100 * share:.0f}" for share in SHARES]
        columns: Columns = [
            "model",
            "px",
            "policy",
            *(Column(f"{name} ms ↓", name, "ms", "lower") for name in shares),
            "calls",
        ]
        notes = [
            "each call held against its round's median, so that p50 is the latency; p90 from 64 calls on, p99 from 662 on, empty below"
        ]
        yield Table("Latency of single calls at batch 1", columns, lines, notes)
