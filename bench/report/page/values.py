"""The values of one point of the page, each with its interval, its text and its axis."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from bench.analysis import published
from bench.analysis.accuracy_groups import Contestant
from bench.analysis.rows import Quantity, Row, Summary
from bench.report.columns import (
    TOP1,
    TOP1_PUBLISHED,
    TRAINING_TIME,
    axis_of,
    header_of,
    scale_of,
    text_of,
)
from bench.report.fill import described as fill_command
from bench.report.missing import missing
from bench.report.tables.accuracies import top1_cell
from bench.report.tables.speeds import Compared
from bench.stats.formatting import estimate, number, span
from bench.stats.intervals import Estimate

RATIO = "ratio"
"""The axes of paired ratios: this, and the name of the reference."""
SAMPLES = 400
"""Most values of a histogram; of more, every n-th is taken."""

Axes = dict[str, dict[str, str]]
"""Label, direction and unit of every axis, by its key."""


def add_axis(axes: Axes, key: str, label: str, better: str, unit: str) -> None:
    axes.setdefault(key, {"label": label, "better": better, "unit": unit})


def add_quantity(
    point: dict[str, Any], summary: Summary, row: Row, quantity: Quantity, axes: Axes
) -> None:
    """Add a value with its samples, or the command that measures it."""
    key = f"{quantity.metric}|{quantity.batch_size}" if quantity.batch_size else quantity.metric
    factor, unit = scale_of(quantity)
    add_axis(axes, key, axis_of(quantity), quantity.better, unit)
    value = row.values.get(quantity)
    if value is None:
        point["missing"][key] = fill_command(missing(summary, row, quantity), summary.past)
        return
    point["values"][key] = _value(value.times(factor), estimate(value, quantity.unit))
    rounds = list(row.rounds.get(quantity, {}).values())
    if len(rounds) > 1:
        step = max(1, len(rounds) // SAMPLES)
        samples = [float(f"{one * factor:.5g}") for one in rounds[::step]]
        point["values"][key] |= {"samples": samples, "rounds": len(rounds)}


def _value(value: Estimate, text: str) -> dict[str, Any]:
    shown = {"value": value.value, "text": text}
    if value.low is not None and value.high is not None:
        shown |= {"low": value.low, "high": value.high}
    return shown


def add_accuracy(point: dict[str, Any], how: str, one: Contestant, axes: Axes) -> None:
    """Add top-1, other metrics of the same weights, and training time; `how` is the protocol."""
    if one.top1 is None:
        return
    key = f"{TOP1}|{how}"
    add_axis(axes, key, f"{header_of(TOP1, '%')} on {how}", "higher", "%")
    value = _value(one.top1.times(100.0), top1_cell(one).text)
    seeds = [100 * share for share in one.shares]
    if len(seeds) > 1:
        value |= {"samples": seeds, "rounds": len(seeds)}
    caveat = one.rows[0].about.caveat
    if caveat:
        value["caveat"] = caveat
    point["values"][key] = value
    for quantity in one.others:
        _add_other(point, how, one, quantity, axes)
    seconds = one.detail("train_s")
    if seconds is not None:
        add_axis(axes, f"train_s|{how}", f"{axis_of(TRAINING_TIME)} on {how}", "lower", "s")
        point["values"][f"train_s|{how}"] = {"value": seconds, "text": number(seconds)}


def _add_other(
    point: dict[str, Any], how: str, one: Contestant, quantity: Quantity, axes: Axes
) -> None:
    """Add another metric of the same weights."""
    key = f"{quantity.metric}|{how}"
    factor, unit = scale_of(quantity)
    add_axis(axes, key, f"{axis_of(quantity)} on {how}", quantity.better, unit)
    value = one.value(quantity)
    if value:
        point["values"][key] = _value(value.times(factor), text_of(quantity, value, []))


def add_published(point: dict[str, Any], summary: Summary, row: Row, axes: Axes) -> None:
    """Add the range of published top-1 over weight sets, marked as not measured here.

    Its value, by which rows are sorted and limited, is the better end.
    """
    found = published.of(row.about.timm_name, row.image_size, summary.imported.accuracies)
    plain = [one for one in found if one.plain] or found
    if not plain:
        return
    high, low = 100 * plain[0].top1, 100 * plain[-1].top1
    add_axis(axes, TOP1_PUBLISHED, header_of(TOP1_PUBLISHED, "%"), "higher", "%")
    kind = "" if plain[0].plain else " (more data or a teacher)"
    point["values"][TOP1_PUBLISHED] = {
        "value": high,
        "low": low,
        "high": high,
        "text": span(low, high) + kind,
        "published": True,
        "plain": plain[0].plain,
        "source": "; ".join(sorted(set(map(attrgetter("source"), plain)))),
    }


def add_ratio(point: dict[str, Any], compared: Compared, place: int, axes: Axes) -> None:
    """Add a row's throughput over the reference's, paired by round; `place` is the row's."""
    cell = compared.cells[place]
    if cell.value is None:
        return
    key = f"{RATIO}|{compared.reference}"
    add_axis(axes, key, f"throughput × that of {compared.reference}", "higher", "×")
    point["values"][key] = _value(Estimate(cell.value, cell.low, cell.high), cell.text)
