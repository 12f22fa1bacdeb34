"""What stands around the points of the page: machines with their grade, families, verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bench.analysis.grade import ORDER, grades, severity
from bench.claims.rules import Verdict
from bench.report.palette import FAMILIES, OTHER, OUTCOMES
from bench.report.tables.verdicts import effect, numbered
from bench.report.write import Report

SYMBOLS = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "P": "cross", "X": "x"}
"""Plotly's names of matplotlib's markers."""
UNCHECKED = ORDER.index("unchecked")
"""The severity of a size without a grade."""


def machine_of(report: Report) -> dict[str, Any]:
    """Return a machine with the grades of its speeds."""
    machine = report.summary.machine
    return {
        "name": machine.name,
        "device": machine.hardware,
        "grades": list(_grades(report)),
        "cpu": machine.cpu,
        "cores": machine.cores,
        "memory": f"{machine.memory_bytes / 1e9:.0f} GB",
        "versions": machine.versions,
        "settings": {name: str(value) for name, value in machine.settings.items()},
        "notes": report.summary.notes,
    }


def _grades(report: Report) -> Iterator[dict[str, Any]]:
    """Yield the grade at every image size; `severity` is 0 for a good one."""
    for size, found in grades(report.graded).items():
        yield {"px": size, "line": found.line, "severity": severity(found)}


def families_of() -> dict[str, dict[str, str]]:
    """Return label, colour and symbol by family; the empty name is for all others."""
    families = {}
    for name, (label, colour, marker) in (*FAMILIES.items(), ("", OTHER)):
        families[name] = {"label": label, "colour": colour, "symbol": SYMBOLS[marker]}
    return families


def verdicts_of(reports: Sequence[Report]) -> Iterator[dict[str, Any]]:
    """Yield every verdict of every machine."""
    for report in reports:
        for verdict in report.verdicts:
            yield {"machine": report.summary.machine.name, **_verdict(verdict)}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    leading = verdict.leading
    return {
        "study": verdict.study,
        "question": verdict.question,
        "claims": numbered(verdict.claims),
        "outcome": verdict.outcome + (" *" if verdict.changed else ""),
        "measured": verdict.outcome != "not measured",
        "colour": OUTCOMES[verdict.outcome],
        "scale": verdict.scale,
        "effect": f"{effect(leading)} ({leading.what})" if leading else "",
        "missing": verdict.missing if verdict.outcome == "not measured" else "",
    }
