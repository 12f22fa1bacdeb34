"""What the studies of speed share: needs that take one run, and findings of paired ratios."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from bench.claims.evidence import BATCH, PLAIN, Evidence, Speed
from bench.claims.rules import Finding, Unit
from bench.plugins import Need


def timed(
    what: str,
    models: Iterable[str],
    device: str,
    *,
    metrics: tuple[str, ...] = ("throughput",),
    worth: float = 3.0,
    **more: Any,
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


ONE_PROCESS = (
    "measured in fewer than two processes a side or six rounds: no interval (docs/METHOD.md)"
)


def ratio(
    evidence: Evidence,
    what: str,
    left: Speed,
    right: Speed,
    region: tuple[float, float],
    *,
    metric: str = "throughput",
    **more: Any,
) -> Finding:
    """Of two arms, paired by rounds."""
    return combined(evidence, what, {left: 1.0, right: -1.0}, region, metric=metric, **more)


def combined(
    evidence: Evidence,
    what: str,
    parts: Mapping[Speed, float],
    region: tuple[float, float],
    *,
    metric: str = "throughput",
    unit: Unit = "×",
    less: float = 0.0,
    **more: Any,
) -> Finding:
    """Of any number of arms: a weighted sum of the logarithms of their speeds, `less` a number that is known exactly."""
    effect, value = evidence.contrast(parts, metric), evidence.value(parts, metric)
    if effect is not None:
        return Finding(
            what=what,
            unit=unit,
            region=region,
            effect=replace(effect, value=effect.value - less),
            **more,
        )
    if value is None:
        return Finding(what=what, unit=unit, region=region, effect=None, **more)
    more["note"] = "; ".join(text for text in (more.get("note", ""), ONE_PROCESS) if text)
    return Finding(
        what=what,
        unit=unit,
        region=region,
        effect=None,
        value=math.exp(value - less) if unit == "×" else value - less,
        **more,
    )
