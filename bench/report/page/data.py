"""The data of the page: machines, points and verdicts as plain values, in the units shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

from bench.analysis.accuracy_groups import Contestant, Protocol, contestants_by_protocol
from bench.analysis.grade import grade
from bench.analysis.groups import grouped
from bench.analysis.rows import Quantity, Row, Summary, by_speed, ranked_quantities
from bench.report.columns import described, place_of
from bench.report.page.context import UNCHECKED, families_of, machine_of, verdicts_of
from bench.report.page.values import (
    RATIO,
    Axes,
    add_accuracy,
    add_published,
    add_quantity,
    add_ratio,
)
from bench.report.tables.speeds import Compared, compare
from bench.report.write import Report

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
        "machines": list(map(machine_of, reports)),
        "axes": {key: axes[key] for key in sorted(axes, key=_axis_order) if key in used},
        "points": points,
        "families": families_of(),
        "unchecked": UNCHECKED,
        "verdicts": list(verdicts_of(reports)),
    }


def _axis_order(key: str) -> tuple[int, str]:
    """Return the place of an axis: ratios, accuracies, then counts and speeds as in the tables."""
    metric = key.partition("|")[0]
    return -1 if metric == RATIO else place_of(metric), key


def _points(report: Report, axes: Axes) -> Iterator[dict[str, Any]]:
    """Yield one point per row, the fastest first.

    A row has several if several sets of weights of its model were evaluated. Models with an
    accuracy and no speed follow.
    """
    summary = report.summary
    evaluated = _evaluated(summary)
    quantities = sorted(ranked_quantities(summary.rows))
    ratios = _ratios(summary)
    for row in sorted(summary.rows, key=by_speed):
        for name, found in evaluated.get(row.model, {row.label: []}).items():
            point = _measured_point(report, name, row, found, quantities, axes)
            if id(row) in ratios:
                add_ratio(point, *ratios[id(row)], axes)
            yield point
    measured = set(map(attrgetter("model"), summary.rows))
    for model, weights in evaluated.items():
        if model not in measured:
            for name, found in weights.items():
                yield _evaluated_point(report, name, found, axes)


def _ratios(summary: Summary) -> dict[int, tuple[Compared, int]]:
    """Return each row's comparison with the reference, as in its table, and its place there.

    By `id` of the row.
    """
    ratios: dict[int, tuple[Compared, int]] = {}
    for rows in grouped(summary.rows, attrgetter("image_size", "device", "policy")).values():
        compared = compare(rows, ranked=grade(summary, rows[0].image_size).marks)
        if compared:
            for place, row in enumerate(rows):
                ratios[id(row)] = compared, place
    return ratios


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
        add_quantity(point, report.summary, row, quantity, axes)
    for protocol, one in evaluated:
        add_accuracy(point, protocol.label, one, axes)
    add_published(point, report.summary, row, axes)
    if row.given:
        point["spec"] = row.model
    point["records"] = row.records
    point["trouble"] = list(map(": ".join, row.trouble.items()))
    return point


def _evaluated_point(report: Report, name: str, evaluated: Evaluated, axes: Axes) -> dict[str, Any]:
    first = evaluated[0][1].rows[0]
    point = _point(report, name, first.about.family, first.arm.image_size, "")
    if first.given:
        point["spec"] = first.model
    for protocol, one in evaluated:
        add_accuracy(point, protocol.label, one, axes)
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
