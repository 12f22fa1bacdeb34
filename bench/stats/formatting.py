"""How stored units are shown and typed: scale, name and significant figures.

Records store base units; only tables scale them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.stats.intervals import Estimate

COUNTING = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


@dataclass(frozen=True, kw_only=True)
class StoredUnit:
    """A unit of stored values.

    A stored value times `factor` is in the unit `shown`. `typed` are the suffixes of values on the
    command line, each with its factor to the stored unit; `example` is such a value.
    """

    factor: float = 1.0
    shown: str
    typed: Mapping[str, float] = field(default_factory=lambda: COUNTING)
    example: str = "100"


_TIMES = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60.0, "h": 3600.0}
_BYTES = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
UNITS = {
    "s": StoredUnit(factor=1e3, shown="ms", typed=_TIMES, example="20ms"),
    "B": StoredUnit(factor=1e-9, shown="GB", typed=_BYTES, example="2GB"),
    "B/s": StoredUnit(factor=1e-9, shown="GB/s"),
    "J": StoredUnit(shown="J", typed={"J": 1.0, "mJ": 1e-3}, example="5mJ"),
    "MAC": StoredUnit(factor=1e-9, shown="G", example="30M"),
    "MAC/s": StoredUnit(factor=1e-9, shown="GMAC/s"),
    "parameter": StoredUnit(factor=1e-6, shown="M", example="30M"),
    "element": StoredUnit(factor=1e-6, shown="M", example="30M"),
    "image/s": StoredUnit(shown="img/s"),
    "share": StoredUnit(factor=100.0, shown="%", typed={"%": 1e-2}, example="80%"),
}

_TYPED = re.compile(r"([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*([^\d\s]*)")
UNEQUAL = 0.05
"""Share of an interval by which its halves may differ before both ends are shown."""


def unit_of(unit: str) -> StoredUnit:
    """Return a stored unit; an unknown one is shown as stored, and typed with k, M, G or T."""
    return UNITS.get(unit) or StoredUnit(shown=unit)


def typed(text: str, unit: str, *, bare: float | None = None) -> float | None:
    """Return a value as typed, such as `20ms`, in a stored unit; None if it cannot be read.

    `bare` is what a number without a unit is multiplied by; None: it needs a unit, unless the unit
    is a number of things.
    """
    found = _TYPED.fullmatch(text.strip())
    if found is None:
        return None
    digits, suffix = found.groups()
    factor = bare if not suffix and bare is not None else unit_of(unit).typed.get(suffix)
    try:
        value = float(digits)
    except ValueError:  # two points
        return None
    return value * factor if factor is not None and math.isfinite(value) else None


def per_shown(factor: float) -> float:
    """Return what a number in the unit shown is multiplied by, given the factor to that unit."""
    return float(f"{1 / factor:.12g}")  # 1 / 1e-9 is not 1e9


def typed_units(unit: str) -> str:
    """Return what may follow a number of a stored unit, with commas."""
    return ", ".join(filter(None, unit_of(unit).typed))


def scale(unit: str) -> tuple[float, str]:
    """Return the factor and the shown name of a unit; an unknown unit is shown as stored."""
    row = unit_of(unit)
    return row.factor, row.shown


def number(value: float, *, places: int | None = None) -> str:
    """Return three significant figures or `places` decimals, without exponent below a billion."""
    if places is not None:
        return f"{value:,.{places}f}"
    if value == 0 or abs(value) >= 1e9:
        return f"{value:.3g}"
    if abs(value) < 0.1:
        return f"{value:.3g}"
    digits = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    return f"{value:,.{max(0, 3 - digits)}f}"


PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def human(value: float) -> str:
    """Return three significant figures with k, M or G: `21.1 M`; below a thousand, the whole."""
    rounded = float(f"{value:.3g}")
    for factor, prefix in PREFIXES:
        if abs(rounded) >= factor:
            return f"{number(rounded / factor)} {prefix}"
    return f"{value:,.0f}"


def estimate(value: Estimate | None, unit: str, *, places: int | None = None) -> str:
    """Return `62.4 ±0.9` in the shown unit, `382 [344, 573]` if the halves differ; "" for None."""
    if value is None:
        return ""
    factor, _ = scale(unit)
    text = number(value.value * factor, places=places)
    if value.low is None or value.high is None or value.half_width is None:
        return text
    below, above = (value.value - value.low) * factor, (value.high - value.value) * factor
    if abs(above - below) > max(UNEQUAL * (above + below), 1e-9 * abs(value.value * factor)):
        low = number(value.low * factor, places=places)
        high = number(value.high * factor, places=places)
        return f"{text} [{low}, {high}]"
    return f"{text} ±{_two_figures(value.half_width * factor)}"


def _two_figures(value: float) -> str:
    """Return an uncertainty with two significant figures, or as a whole number from 100 on."""
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.2g}"


def p_value(value: float | None) -> str:
    """Return `0.012` or `< 0.001`; "" for None."""
    if value is None:
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def interval(value: Estimate | None, *, factor: float = 1.0, places: int = 2) -> str:
    """Return `0.37 [0.36, 0.38]`, the value alone without an interval; "" for None."""
    if value is None:
        return ""
    text = f"{value.value * factor:.{places}f}"
    if value.low is None or value.high is None:
        return text
    return f"{text} [{value.low * factor:.{places}f}, {value.high * factor:.{places}f}]"


def span(low: float, high: float, *, places: int = 1) -> str:
    """Return `76.2 to 80.8`, or one number if both ends look the same."""
    ends = f"{low:.{places}f}", f"{high:.{places}f}"
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def duration(seconds: float) -> str:
    """Return `40 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
