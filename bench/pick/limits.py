"""The limits of `bench pick` and what is best within them: flags as typed, in stored units."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from bench.errors import UsageError
from bench.stats.formatting import number, per_shown, scale, typed, typed_units, unit_of

Objective = Literal["top1", "latency", "throughput", "params"]
UNITS = {
    "latency": "s",
    "memory": "B",
    "params": "parameter",
    "macs": "MAC",
    "top1": "share",
}
FLAGS = {
    "latency": "--max-latency",
    "memory": "--max-memory",
    "params": "--max-params",
    "macs": "--max-macs",
    "top1": "--min-top1",
}
BARE = {"params": 1.0}
"""Factors of numbers without a unit, where that is not the unit shown: parameters are counted."""
SMALLEST = {"params": 1e3, "macs": 1e6, "top1": 0.01}
"""Limits below these are slips of units: 30 for 30M, 0.79 for 79%."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most of each quantity, the least of top-1, in stored units; None: no limit."""

    latency: float | None = None
    memory: float | None = None
    params: float | None = None
    macs: float | None = None
    top1: float | None = None

    def __post_init__(self) -> None:
        if all(getattr(self, field.name) is None for field in fields(self)):
            raise UsageError(
                "pick: within which limits? add --max-latency 60ms, --max-params 30M, "
                "--min-top1 79% or another one"
            )

    @property
    def objective(self) -> Objective:
        """What is best if `--for` does not say: top-1, or if that alone is limited, latency."""
        others = (self.latency, self.memory, self.params, self.macs)
        return "latency" if all(value is None for value in others) else "top1"

    @property
    def text(self) -> str:
        """The limits in words, such as `latency at most 60.0 ms, top-1 at least 79.0 %`."""
        parts = []
        for name in UNITS:
            value = getattr(self, name)
            if value is not None:
                words = "top-1 at least" if name == "top1" else f"{name} at most"
                parts.append(f"{words} {shown(name, value)}")
        return ", ".join(parts)


def limits_of(**flags: str | None) -> Limits:
    """Return the limits of flags as typed, by the names of `UNITS`.

    Raises UsageError, naming the flag, for a value that cannot be read or makes no sense.
    """
    return Limits(**{name: _value(name, text) for name, text in flags.items() if text is not None})


def _value(name: str, text: str) -> float:
    unit, flag = UNITS[name], FLAGS[name]
    value = typed(text, unit, bare=BARE.get(name, per_shown(scale(unit)[0])))
    example = unit_of(unit).example
    if value is None:
        raise UsageError(
            f"{flag}: cannot read {text!r}; {example} would work (units: {typed_units(unit)})"
        )
    if not SMALLEST.get(name, 0.0) < value or (name == "top1" and value >= 1):
        raise UsageError(f"{flag}: {text} means {shown(name, value)}; {example} would work")
    return value


def shown(name: str, value: float) -> str:
    """Return a value of a limited quantity in the unit shown, such as `60.0 ms`."""
    factor, unit = scale(UNITS[name])
    return f"{number(value * factor)} {unit}"
