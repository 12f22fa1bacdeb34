"""What studies of speed share: needs that take one run, and findings about ratios of speeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from bench.claims.evidence import Evidence, Speed
from bench.claims.rules import Finding, Unit
from bench.devices import kind_of
from bench.plugins import Need
from bench.stats.intervals import Effect

ONE_PROCESS = (
    "measured in fewer than two processes a side or six rounds: no interval (docs/METHOD.md)"
)


def timed(
    what: str,
    models: Iterable[str],
    device: str,
    *,
    metrics: tuple[str, ...] = ("throughput",),
    worth: float = 3.0,
    **more: Any,
) -> Need:
    """Return the need of all models in one interleaved run.

    They run under the device's plain policy and at its usual batch size, unless `more` says
    otherwise: fields of `bench.config.RunConfig`.
    """
    settings: dict[str, Any] = {
        "models": tuple(models),
        "metrics": ("params", "macs", *metrics),
        "policies": (kind_of(device).policy,),
        "batch_sizes": (kind_of(device).study_batch_size,),
        "time_budget": 240.0,
        "target_ci": 0.02,
    }
    return Need(what=what, settings=settings | more, worth=worth)


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
    """Return the finding about the ratio of two speeds, paired by rounds."""
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
    """Return the finding about a weighted sum of the logarithms of any number of speeds.

    `less` is subtracted from it, a number without an error. `more` are further fields of `Finding`.
    """
    effect, value = evidence.contrast(parts, metric), evidence.value(parts, metric)
    if effect is not None:
        effect = replace(effect, value=effect.value - less)
    if value is not None:
        value -= less
    return of_rounds(what, region, effect, value, unit=unit, **more)


def of_rounds(
    what: str,
    region: tuple[float, float],
    effect: Effect | None,
    value: float | None,
    *,
    unit: Unit = "×",
    **more: Any,
) -> Finding:
    """Return the finding about an effect; without it, about `value`, with a note that says why.

    `value` is in `unit`, for "×" the logarithm of the ratio. `more` are further fields of
    `Finding`.
    """
    if effect is not None:
        return Finding(what=what, unit=unit, region=region, effect=effect, **more)
    if value is not None:
        more["note"] = "; ".join(filter(None, (more.get("note"), ONE_PROCESS)))
        value = math.exp(value) if unit == "×" else value
    return Finding(what=what, unit=unit, region=region, effect=None, value=value, **more)
