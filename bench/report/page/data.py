"""What the page knows: machines, points and verdicts as plain data, all numbers in the units that people read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bench.analysis import published
from bench.analysis.accuracy_groups import Contestant, Key, trained_rows
from bench.analysis.grade import lines
from bench.analysis.rows import Quantity, Row, Summary
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
from bench.report.tables.verdicts import effect
from bench.report.write import Report
from bench.stats.formatting import estimate, number, span
from bench.stats.intervals import Estimate

SAMPLES = 400
"""Values of a histogram; of more a regular part is taken."""
SYMBOLS = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "P": "cross", "X": "x"}
"""matplotlib's markers in plotly's words."""


def page_data(reports: Sequence[Report]) -> dict[str, Any]:
    """Everything for all machines."""
    axes: dict[str, dict[str, str]] = {}
    points: list[dict[str, Any]] = []
    for report in reports:
        points += _points(report, axes)
    for number_, one in enumerate(points):
        one["id"] = number_
    known = [key for key in _ordered(axes) if any(key in one["values"] for one in points)]
    return {
        "machines": [_machine(report) for report in reports],
        "axes": {key: axes[key] for key in known},
        "points": points,
        "families": {
            name: {"label": label, "colour": colour, "symbol": SYMBOLS[marker]}
            for name, (label, colour, marker) in _families()
        },
        "verdicts": [_verdict(report, one) for report in reports for one in report.verdicts],
    }


def _families() -> Iterator[tuple[str, tuple[str, str, str]]]:
    yield from FAMILIES.items()
    yield "", OTHER


def _ordered(axes: dict[str, dict[str, str]]) -> list[str]:
    """Accuracies first, then counts and speeds as in the tables."""
    return sorted(axes, key=lambda key: (place_of(key.partition("|")[0]), key))


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


def _points(report: Report, axes: dict[str, dict[str, str]]) -> Iterator[dict[str, Any]]:
    """One point per row, or several where sets of weights were evaluated; one for what has an accuracy and no speed."""
    summary = report.summary
    # By model, then by name: each set of weights has an accuracy of its own, all have the speed of their architecture.
    known: dict[str, dict[str, list[tuple[Key, Contestant]]]] = {}
    for key, contestants in trained_rows(summary).items():
        for one in contestants:
            known.setdefault(one.rows[0].model, {}).setdefault(one.name, []).append((key, one))
    quantities = sorted(
        {quantity for row in summary.rows for quantity in row.values if quantity.better != "none"}
    )
    for row in summary.rows:
        for name, found in known.get(row.model, {row.model: []}).items():
            point = _point(report, name, row.about.family, row.image_size, row.policy)
            if row.handwritten:  # never the first view, and always said
                point |= {"handwritten": True, "policy": f"{row.policy} † handwritten"}
            for quantity in quantities:
                _add_quantity(point, summary, row, quantity, axes)
            for key, one in found:
                _add_accuracy(point, key, one, axes)
            _add_published(point, summary, row, axes)
            point["records"] = row.records
            point["trouble"] = [f"{where}: {text}" for where, text in row.trouble.items()]
            yield point
    seen = {row.model for row in summary.rows}
    for model, names in known.items():
        for name, found in names.items() if model not in seen else ():
            first = found[0][1].rows[0]
            point = _point(report, name, first.about.family, first.arm.image_size, "")
            for key, one in found:
                _add_accuracy(point, key, one, axes)
            yield point


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


def _add_quantity(
    point: dict[str, Any],
    summary: Summary,
    row: Row,
    quantity: Quantity,
    axes: dict[str, dict[str, str]],
) -> None:
    key = f"{quantity.metric}|{quantity.batch_size}" if quantity.batch_size else quantity.metric
    factor, unit = scale_of(quantity)
    axes.setdefault(key, {"label": axis_of(quantity), "better": quantity.better, "unit": unit})
    found = row.values.get(quantity)
    if found is None:
        point["missing"][key] = fill_command(missing(summary, row, quantity), summary.past)
        return
    point["values"][key] = _value(found.times(factor), estimate(found, quantity.unit))
    samples = list(row.rounds.get(quantity, {}).values())
    if len(samples) > 1:
        step = max(1, len(samples) // SAMPLES)
        point["values"][key]["samples"] = [
            float(f"{value * factor:.5g}") for value in samples[::step]
        ]
        point["values"][key]["rounds"] = len(samples)


def _value(found: Estimate, text: str) -> dict[str, Any]:
    ends = {} if found.low is None or found.high is None else {"low": found.low, "high": found.high}
    return {"value": found.value, "text": text, **ends}


def _add_accuracy(
    point: dict[str, Any], key: Key, one: Contestant, axes: dict[str, dict[str, str]]
) -> None:
    how = ", ".join(part for part in key if part)
    if one.top1 is None:
        return
    name, header = f"{TOP1}|{how}", header_of(TOP1, "%")
    axes.setdefault(name, {"label": f"{header} on {how}", "better": "higher", "unit": "%"})
    cell = top1_cell(one)
    point["values"][name] = _value(one.top1.times(100.0), cell.text)
    seeds = [100 * row.top1.value for row in one.measured if row.top1]
    if len(seeds) > 1:
        point["values"][name] |= {"samples": seeds, "rounds": len(seeds)}
    if caveat := one.rows[0].about.caveat:
        point["values"][name]["caveat"] = caveat
    for quantity in one.others:
        _add_other(
            point, f"{quantity.metric}|{how}", one, quantity, f"{axis_of(quantity)} on {how}", axes
        )
    seconds = one.detail("train_s")
    if seconds is not None:
        axes.setdefault(
            f"train_s|{how}",
            {"label": f"{axis_of(TRAINING_TIME)} on {how}", "better": "lower", "unit": "s"},
        )
        point["values"][f"train_s|{how}"] = {"value": seconds, "text": number(seconds)}


def _add_other(
    point: dict[str, Any],
    key: str,
    one: Contestant,
    quantity: Quantity,
    label: str,
    axes: dict[str, dict[str, str]],
) -> None:
    """Another metric of the same weights."""
    factor, unit = scale_of(quantity)
    axes.setdefault(key, {"label": label, "better": quantity.better, "unit": unit})
    if found := one.value(quantity):
        point["values"][key] = _value(found.times(factor), text_of(quantity, found, []))


def _add_published(
    point: dict[str, Any], summary: Summary, row: Row, axes: dict[str, dict[str, str]]
) -> None:
    """The range over weight sets, which were not measured here: hollow everywhere."""
    found = published.of(row.about.timm_name, row.image_size, summary.imported.accuracies)
    plain = [one for one in found if one.plain] or found
    if not plain:
        return
    low, high = (
        100 * end for end in (min(one.top1 for one in plain), max(one.top1 for one in plain))
    )
    axes.setdefault(
        TOP1_PUBLISHED, {"label": header_of(TOP1_PUBLISHED, "%"), "better": "higher", "unit": "%"}
    )
    kind = "" if plain[0].plain else " (more data or a teacher)"
    point["values"][TOP1_PUBLISHED] = {
        "value": (low + high) / 2,
        "low": low,
        "high": high,
        "text": span(low, high) + kind,
        "published": True,
        "samples": [],
        "source": "; ".join(sorted({one.source for one in plain})),
    }


def _verdict(report: Report, one: Any) -> dict[str, Any]:
    leading = one.leading
    return {
        "machine": report.summary.machine.name,
        "study": one.study,
        "question": one.question,
        "claims": ", ".join(f"#{claim}" for claim in one.claims),
        "outcome": one.outcome + (" *" if one.changed else ""),
        "colour": OUTCOMES[one.outcome],
        "scale": one.scale,
        "effect": f"{effect(leading)} ({leading.what})" if leading else "",
        "missing": one.missing if one.outcome == "not measured" else "",
    }
