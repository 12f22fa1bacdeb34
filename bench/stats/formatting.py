"""How a stored unit is shown: scale, name and significant figures. Records keep base units; only tables scale."""

from __future__ import annotations

from bench.stats.intervals import Estimate

# unit in the record -> (factor, what a column header says)
SHOWN = {
    "s": (1e3, "ms"),
    "B": (1e-9, "GB"),
    "MAC": (1e-9, "G"),
    "parameter": (1e-6, "M"),
    "element": (1e-6, "M"),
    "image/s": (1.0, "img/s"),
    "share": (100.0, "%"),
}

UNEQUAL = 0.05
"""By so much of an interval its halves may differ before both ends are shown."""


def scale(unit: str) -> tuple[float, str]:
    """Factor and shown name of a unit; an unknown one is shown as stored."""
    return SHOWN.get(unit, (1.0, unit))


def number(value: float, *, places: int | None = None) -> str:
    """Three significant figures, or a fixed number of decimal places; no exponent below a billion."""
    if places is not None:
        return f"{value:,.{places}f}"
    if value == 0 or abs(value) >= 1e9:
        return f"{value:.3g}"
    magnitude = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    return f"{value:,.{max(0, 3 - magnitude)}f}" if abs(value) >= 0.1 else f"{value:.3g}"


def estimate(value: Estimate | None, unit: str, *, places: int | None = None) -> str:
    """`62.4 ±0.9` in the shown unit, `382 [344, 573]` where the ends are not equally far; empty where there is nothing."""
    if value is None:
        return ""
    factor, _ = scale(unit)
    text = number(value.value * factor, places=places)
    if value.low is None or value.high is None or value.half_width is None:
        return text
    below, above = (value.value - value.low) * factor, (value.high - value.value) * factor
    if abs(above - below) > max(UNEQUAL * (above + below), 1e-9 * abs(value.value * factor)):
        return f"{text} [{number(value.low * factor, places=places)}, {number(value.high * factor, places=places)}]"
    return f"{text} ±{_two_figures(value.half_width * factor)}"


def _two_figures(value: float) -> str:
    """An uncertainty: two significant figures, all digits of it from 100 on."""
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.2g}"


def p_value(value: float | None) -> str:
    """`0.012`, `< 0.001`; empty where there is none."""
    return "" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def interval(value: Estimate | None, *, factor: float = 1.0, places: int = 2) -> str:
    """`0.37 [0.36, 0.38]`."""
    if value is None:
        return ""
    text = f"{value.value * factor:.{places}f}"
    if value.low is None or value.high is None:
        return text
    return f"{text} [{value.low * factor:.{places}f}, {value.high * factor:.{places}f}]"


def span(low: float, high: float, *, places: int = 1) -> str:
    """`76.2 to 80.8`; one number where both ends look the same."""
    ends = f"{low:.{places}f}", f"{high:.{places}f}"
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )
