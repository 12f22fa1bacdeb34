"""Two speeds of the same rounds held against each other: their ratio, its interval, and whether it can be told from 1.

Ratios are paired by round, so that drift of the machine drops out; how sure they are follows the processes that gave
them (bench/stats/mixed_effects.py). Interval and p-value are one test: 1 lies outside of the interval exactly where p is below 0.05.
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
"""One value per round; those of records know which process gave them (`bench.record.values.InProcess`)."""


def paired_ratio(values: Rounds[K], reference: Rounds[K]) -> Estimate | None:
    """The ratio of `values` to `reference`, paired by their common keys (run and round); None without a pair.

    Without an interval below six rounds, and from fewer than two processes on a side.
    """
    logs, sides = _logs([(1.0, values), (-1.0, reference)])
    if not logs:
        return None
    found = mean_over(logs, sides)
    return found.as_ratio if found else Estimate(math.exp(centre(logs, sides)), n=len(logs))


def effect_of(parts: Sequence[tuple[float, Rounds[K]]]) -> Effect | None:
    """A weighted sum of the logarithms of speeds in the rounds that all of them took part in; None as for a ratio.

    1 and -1: the logarithm of a ratio. The weights of a slope, of an interaction: any contrast of any number of arms.
    """
    logs, sides = _logs(parts)
    found = mean_over(logs, sides) if logs else None
    return found and replace(
        found, runs=len({key[0] for key in _common(parts) if isinstance(key, tuple)}) or 1
    )


def sum_of(parts: Sequence[tuple[float, Rounds[K]]]) -> float | None:
    """The same without its sureness, however few rounds and processes there are; None without a common round."""
    logs, sides = _logs(parts)
    return centre(logs, sides) if logs else None


def apart(values: Rounds[K], reference: Rounds[K]) -> Effect | None:
    """The logarithm of a ratio of speeds that were not measured in the same rounds: each side as sure as it is by itself."""
    sides = [effect_of([(1.0, one)]) for one in (values, reference)]
    if sides[0] is None or sides[1] is None:
        return None
    return less(sides[0], sides[1])


def p_value(values: Rounds[K], reference: Rounds[K]) -> float | None:
    """Two-sided p-value of "the ratio is 1"; None where the ratio has no interval."""
    found = effect_of([(1.0, values), (-1.0, reference)])
    return found.p(0.0) if found else None


def level(values: Rounds[K]) -> Estimate:
    """The median of one value per round, with an interval that follows its processes; without one as for a ratio."""
    import numpy as np

    found, n = float(np.median(list(values.values()))), len(values)
    if min(values.values()) <= 0:
        return Estimate(found, n=n)
    logs, sides = _logs([(1.0, values)])
    effect = mean_over(logs, sides, OF_MEDIANS)
    if effect is None:
        return Estimate(found, n=n)
    return replace(
        Effect(math.log(found), effect.error, effect.freedom, n, effect.processes).as_ratio,
        value=found,
    )


def _common(parts: Sequence[tuple[float, Rounds[K]]]) -> list[Any]:
    """The rounds that all of them took part in."""
    return [key for key in parts[0][1] if all(key in one for _, one in parts)] if parts else []


def _logs(parts: Sequence[tuple[float, Rounds[K]]]) -> tuple[tuple[float, ...], tuple[Side, ...]]:
    """The weighted sum of logarithms in every common round, and the process of each part in it (None: not known)."""
    keys = _common(parts)
    logs = tuple(sum(weight * math.log(one[key]) for weight, one in parts) for key in keys)
    return logs, tuple(
        (weight, tuple(getattr(one[key], "process", None) for key in keys)) for weight, one in parts
    )
