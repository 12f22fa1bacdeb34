"""The data of the page: machines, points and verdicts as plain values, in the units shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

from bench.analysis import published
from bench.analysis.accuracy_groups import Contestant, Protocol, contestants_by_protocol
from bench.analysis.grade import lines
from bench.analysis.rows import Quantity, Row, Summary, ranked_quantities
from bench.claims.rules import Verdict
from bench.report.columns import (
    TOP1,
    TOP1_PUBLISHED,
    TRAINING_TIME,
    axis_of,
    described,
    header_of,
    place_of,
    scale_of,
    text_of,
)
from bench.report.fill import described as fill_command
from bench.report.missing import missing
from bench.report.palette import FAMILIES, OTHER, OUTCOMES
from bench.report.tables.accuracies import top1_cell
from bench.report.tables.verdicts import effect, numbered
from bench.report.write import Report
from bench.stats.formatting import estimate, number, span
from bench.stats.intervals import Estimate

SAMPLES = 400
"""Most values of a histogram; of more, every n-th is taken."""
SYMBOLS = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "P": "cross", "X": "x"}
"""Plotly's names of matplotlib's markers."""

Axes = dict[str, dict[str, str]]
"""Label, direction and unit of every axis, by its key."""
Evaluated = list[tuple[Protocol, Contestant]]
"""One set of weights under every protocol that it was evaluated by."""


def page_data(reports: Sequence[Report]) -> dict[str, Any]:
    """Return everything that the page shows of all machines."""
    axes: Axes = {}
    points: list[dict[str, Any]] = []
    for report in reports:
        points += _points(report, axes)
    used: set[str] = set()
    for place, point in enumerate(points):
        point["id"] = place
        used.update(point["values"])
    return {
        "machines": list(map(_machine, reports)),
        "axes": {key: axes[key] for key in sorted(axes, key=_axis_order) if key in used},
        "points": points,
        "families": _families(),
        "verdicts": list(_verdicts(reports)),
    }


def _families() -> dict[str, dict[str, str]]:
    """Return label, colour and symbol by family; the empty name is for all others."""
    families = {}
    for name, (label, colour, marker) in (*FAMILIES.items(), ("", OTHER)):
        families[name] = {"label": label, "colour": colour, "symbol": SYMBOLS[marker]}
    return families


def _axis_order(key: str) -> tuple[int, str]:
    """Return the place of an axis: accuracies first, then counts and speeds as in the tables."""
    return place_of(key.partition("|")[0]), key


def _machine(report: Report) -> dict[str, Any]:
    machine = report.summary.machine
    return {
        "name": machine.name,
        "device": machine.hardware,
        "grade": lines(report.graded),
        "cpu": machine.cpu,
        "cores": machine.cores,
        "memory": f"{machine.memory_bytes / 1e9:.0f} GB",
        "versions": machine.versions,
        "settings": {name: str(value) for name, value in machine.settings.items()},
        "notes": report.summary.notes,
    }


def _points(report: Report, axes: Axes) -> Iterator[dict[str, Any]]:
    """Yield one point per row, or several if several sets of weights of its model were evaluated.

    Models with an accuracy and no speed follow.
    """
    summary = report.summary
    evaluated = _evaluated(summary)
    quantities = sorted(ranked_quantities(summary.rows))
    for row in summary.rows:
        for name, found in evaluated.get(row.model, {row.model: []}).items():
            yield _measured_point(report, name, row, found, quantities, axes)
    measured = set(map(attrgetter("model"), summary.rows))
    for model, weights in evaluated.items():
        if model not in measured:
            for name, found in weights.items():
                yield _evaluated_point(report, name, found, axes)


def _evaluated(summary: Summary) -> dict[str, dict[str, Evaluated]]:
    """Return accuracies by model and set of weights.

    Each set has accuracies of its own, and all share the speed of their architecture.
    """
    evaluated: dict[str, dict[str, Evaluated]] = {}
    for protocol, contestants in contestants_by_protocol(summary).items():
        for one in contestants:
            weights = evaluated.setdefault(one.rows[0].model, {})
            weights.setdefault(one.name, []).append((protocol, one))
    return evaluated


def _measured_point(
    report: Report,
    name: str,
    row: Row,
    evaluated: Evaluated,
    quantities: Sequence[Quantity],
    axes: Axes,
) -> dict[str, Any]:
    point = _point(report, name, row.about.family, row.image_size, row.policy)
    if row.handwritten:  # marked, and never in the first view
        point |= {"handwritten": True, "policy": f"{row.policy} † handwritten"}
    for quantity in quantities:
        _add_quantity(point, report.summary, row, quantity, axes)
    for protocol, one in evaluated:
        _add_accuracy(point, protocol.label, one, axes)
    _add_published(point, report.summary, row, axes)
    point["records"] = row.records
    point["trouble"] = list(map(": ".join, row.trouble.items()))
    return point


def _evaluated_point(report: Report, name: str, evaluated: Evaluated, axes: Axes) -> dict[str, Any]:
    first = evaluated[0][1].rows[0]
    point = _point(report, name, first.about.family, first.arm.image_size, "")
    for protocol, one in evaluated:
        _add_accuracy(point, protocol.label, one, axes)
    return point


def _point(report: Report, model: str, family: str, size: int, policy: str) -> dict[str, Any]:
    return {
        "model": model,
        "family": family,
        "machine": report.summary.machine.name,
        "policy": described(policy) if policy else "",
        "px": size,
        "values": {},
        "missing": {},
        "records": [],
        "trouble": [],
    }


def _add_axis(axes: Axes, key: str, label: str, better: str, unit: str) -> None:
    axes.setdefault(key, {"label": label, "better": better, "unit": unit})


def _add_quantity(
    point: dict[str, Any], summary: Summary, row: Row, quantity: Quantity, axes: Axes
) -> None:
    """Add a value with its samples, or the command that measures it."""
    key = f"{quantity.metric}|{quantity.batch_size}" if quantity.batch_size else quantity.metric
    factor, unit = scale_of(quantity)
    _add_axis(axes, key, axis_of(quantity), quantity.better, unit)
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


def _add_accuracy(point: dict[str, Any], how: str, one: Contestant, axes: Axes) -> None:
    """Add top-1, other metrics of the same weights, and training time; `how` is the protocol."""
    if one.top1 is None:
        return
    key = f"{TOP1}|{how}"
    _add_axis(axes, key, f"{header_of(TOP1, '%')} on {how}", "higher", "%")
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
        _add_axis(axes, f"train_s|{how}", f"{axis_of(TRAINING_TIME)} on {how}", "lower", "s")
        point["values"][f"train_s|{how}"] = {"value": seconds, "text": number(seconds)}


def _add_other(
    point: dict[str, Any], how: str, one: Contestant, quantity: Quantity, axes: Axes
) -> None:
    """Add another metric of the same weights."""
    key = f"{quantity.metric}|{how}"
    factor, unit = scale_of(quantity)
    _add_axis(axes, key, f"{axis_of(quantity)} on {how}", quantity.better, unit)
    value = one.value(quantity)
    if value:
        point["values"][key] = _value(value.times(factor), text_of(quantity, value, []))


def _add_published(point: dict[str, Any], summary: Summary, row: Row, axes: Axes) -> None:
    """Add the range of published top-1 over weight sets, marked as not measured here."""
    found = published.of(row.about.timm_name, row.image_size, summary.imported.accuracies)
    plain = [one for one in found if one.plain] or found
    if not plain:
        return
    high, low = 100 * plain[0].top1, 100 * plain[-1].top1
    _add_axis(axes, TOP1_PUBLISHED, header_of(TOP1_PUBLISHED, "%"), "higher", "%")
    kind = "" if plain[0].plain else " (more data or a teacher)"
    point["values"][TOP1_PUBLISHED] = {
        "value": (low + high) / 2,
        "low": low,
        "high": high,
        "text": span(low, high) + kind,
        "published": True,
        "samples": [],
        "source": "; ".join(sorted(set(map(attrgetter("source"), plain)))),
    }


def _verdicts(reports: Sequence[Report]) -> Iterator[dict[str, Any]]:
    for report in reports:
        for verdict in report.verdicts:
            yield {"machine": report.summary.machine.name, **_verdict(verdict)}


def _verdict(verdict: Verdict) -> dict[str, str]:
    leading = verdict.leading
    return {
        "study": verdict.study,
        "question": verdict.question,
        "claims": numbered(verdict.claims),
        "outcome": verdict.outcome + (" *" if verdict.changed else ""),
        "colour": OUTCOMES[verdict.outcome],
        "scale": verdict.scale,
        "effect": f"{effect(leading)} ({leading.what})" if leading else "",
        "missing": verdict.missing if verdict.outcome == "not measured" else "",
    }
