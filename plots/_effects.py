"""What drawings of effects share: the claim's region behind an effect, and the axis of several."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from bench.claims.rules import Finding
from bench.report.palette import REGION

from ._style import ratio_axis

LEAST_RATIO = 1e-4
"""The left end of a logarithmic axis at most; no effect of interest is so small."""


def shade_region(axes: Axes, finding: Finding, place: float, half: float) -> None:
    """Shade the claim's region in a band of twice `half` around a place."""
    low, high = finding.region
    farthest = 1e-9 if finding.unit == "×" else -1e9
    band = [place - half, place + half]
    left, right = max(low, farthest), min(high, 1e9)
    axes.fill_betweenx(band, left, right, color=REGION, alpha=0.16, lw=0)


def show_all(axes: Axes, findings: Sequence[Finding]) -> None:
    """Show effects of one unit with their intervals, what others published of them, the neutral
    value, and the finite ends of their regions."""
    ratios = findings[0].unit == "×"
    ends = [1.0 if ratios else 0.0]
    for finding in findings:
        known: list[float | None] = []
        if finding.shown:
            known += [finding.shown.value, finding.shown.low, finding.shown.high]
        if finding.published:
            known.append(finding.published.value)
        ends += [end for end in known if end is not None]
        finite = filter(math.isfinite, finding.region)
        ends += [end for end in finite if end > 0 or not ratios]
    if ratios:
        ratio_axis(axes, [max(end, LEAST_RATIO) for end in ends])
        return
    room = 0.06 * (max(ends) - min(ends) or 1.0)
    axes.set_xlim(min(ends) - room, max(ends) + room)
