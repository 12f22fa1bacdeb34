"""What the studies of speed share: needs that take one run, and findings of paired ratios."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bench.evidence import BATCH, PLAIN, Evidence, Speed
from bench.plugins import Need
from bench.verdicts import Finding


def timed(
    what: str, models: Iterable[str], device: str, *, metrics: tuple[str, ...] = ("throughput",), worth: float = 3.0, **more: Any
) -> Need:
    """All arms in one interleaved run, under the device's plain policy and at its usual batch unless said otherwise."""
    settings: dict[str, Any] = {
        "models": tuple(models),
        "metrics": ("params", "macs", *metrics),
        "policies": (PLAIN[device],),
        "batch_sizes": (BATCH[device],),
        "time_budget": 90.0,
        "target_ci": 0.02,
    }
    return Need(what=what, settings=settings | more, worth=worth)


def ratio(
    evidence: Evidence, what: str, left: Speed, right: Speed, region: tuple[float, float], *, metric: str = "throughput", **more: Any
) -> Finding:
    """Of two arms, paired by rounds."""
    return Finding(what=what, unit="×", region=region, effect=evidence.effect(left, right, metric), **more)
