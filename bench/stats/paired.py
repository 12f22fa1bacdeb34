"""Compare speeds measured in the same rounds: their ratio, its interval, and its p-value against 1.

Ratios are paired by round, so that drift of the machine cancels; their standard errors account for
the processes that measured them (bench/stats/mixed_effects.py). Interval and p-value are the same
test: the interval excludes 1 if and only if p is below 0.05.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from bench.stats.intervals import Effect, Estimate, less
from bench.stats.mixed_effects import OF_MEDIANS, Side, centre, mean_over

K = TypeVar("K", bound=Hashable)
Rounds = Mapping[K, float]
"""One value per round; those of records know their process (`bench.record.values.InProcess`)."""


def paired_ratio(values: Rounds[K], reference: Rounds[K]) -> Estimate | None:
    """Return the ratio of `values` to `reference`, paired by common keys (run and round).

    None without a common round. The ratio has no interval from fewer than six rounds, or with fewer
    than two processes on a side.
    """
    logs, sides = _logs([(1.0, values), (-1.0, reference)])
    if not logs:
        return None
    effect = mean_over(logs, sides)
    return effect.as_ratio if effect else Estimate(math.exp(centre(logs, sides)), n=len(logs))


def effect_of(parts: Sequence[tuple[float, Rounds[K]]]) -> Effect | None:
    """Return a weighted sum of logarithms of speeds over the rounds that all parts have in common.

    `parts` are pairs of weight and values: 1 and -1 give the logarithm of a ratio, other weights
    any contrast, such as a slope or an interaction. None from fewer than six rounds, or with fewer
    than two processes on a side.
    """
    logs, sides = _logs(parts)
    effect = mean_over(logs, sides) if logs else None
    if effect is None:
        return None
    runs = {key[0] for key in _common(parts) if isinstance(key, tuple)}
    return replace(effect, runs=len(runs) or 1)


def sum_of(parts: Sequence[tuple[float, Rounds[K]]]) -> float | None:
    """Return the same sum without a standard error; None without a common round."""
    logs, sides = _logs(parts)
    return centre(logs, sides) if logs else None


def apart(values: Rounds[K], reference: Rounds[K]) -> Effect | None:
    """Return the logarithm of a ratio of speeds that were not measured in the same rounds.

    The two sides count as independent. None if one has no standard error.
    """
    left, right = effect_of([(1.0, values)]), effect_of([(1.0, reference)])
    if left is None or right is None:
        return None
    return less(left, right)


def log_ratio(values: Rounds[K], reference: Rounds[K]) -> Effect | None:
    """Return the logarithm of a ratio of two speeds, paired by round if they have common rounds.

    None if it has no standard error.
    """
    if values.keys() & reference.keys():
        return effect_of([(1.0, values), (-1.0, reference)])
    return apart(values, reference)


def p_value(values: Rounds[K], reference: Rounds[K]) -> float | None:
    """Return the two-sided p-value of the ratio being 1; None if the ratio has no interval."""
    effect = effect_of([(1.0, values), (-1.0, reference)])
    return effect.p(0.0) if effect else None


def level(values: Rounds[K]) -> Estimate:
    """Return the median of one value per round.

    Its interval accounts for the processes; there is none where a ratio would have none, and if a
    value is not above 0.
    """
    median = _median(values)
    effect = effect_of_median(values)
    if effect is None:
        return Estimate(median, n=len(values))
    return replace(effect.as_ratio, value=median)


def effect_of_median(values: Rounds[K]) -> Effect | None:
    """Return the logarithm of the median of one value per round, with its standard error.

    None where `level` has no interval.
    """
    if min(values.values()) <= 0:
        return None
    effect = mean_over(*_logs([(1.0, values)]), OF_MEDIANS)
    return effect and replace(effect, value=math.log(_median(values)), n=len(values))


def _median(values: Rounds[K]) -> float:
    import numpy as np

    return float(np.median(list(values.values())))


def _common(parts: Sequence[tuple[float, Rounds[K]]]) -> list[Any]:
    """Return the rounds that all parts have in common, in order."""
    if not parts:
        return []
    first, *others = (values for _, values in parts)
    return [key for key in first if all(key in values for values in others)]


def _logs(parts: Sequence[tuple[float, Rounds[K]]]) -> tuple[tuple[float, ...], tuple[Side, ...]]:
    """Return the weighted sum of logarithms in every common round, and each part's processes.

    A process is None if it is unknown.
    """
    keys = _common(parts)
    logs = [0.0] * len(keys)
    sides = []
    for weight, values in parts:
        common = [values[key] for key in keys]
        processes = tuple(getattr(value, "process", None) for value in common)
        sides.append((weight, processes))
        for place, value in enumerate(common):
            logs[place] += weight * math.log(value)
    return tuple(logs), tuple(sides)
