"""Two speeds of the same rounds held against each other: their ratio, its interval, and whether it can be told from 1.

The round is the unit, as long as the processes that an arm had in turn give no other ratios than chance. Where they do,
the process is: ten rounds of a process that happened to be quick say ten times the same thing.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from bench.stats import ROUNDS_FOR_INTERVAL, Effect, Estimate, bootstrapped, mean_effect

K = TypeVar("K", bound=Hashable)
DIFFERENT = 0.1
"""Processes are held to differ where chance alone would make them differ as much in less than this share of cases. Simulated
with staggered renewals, the interval then holds the truth in 95 to 97 of 100 draws where processes do not differ, in 93 to 96
of 100 where four on each side differ as much as rounds do (by rounds alone: 61); in 83 to 89 with two on each side."""
FREEDOM = 2
"""With fewer degrees of freedom (four processes on both sides together, three runs) their spread is not known well enough."""
EXACT = 1e-24
"""Squares of logarithms below this are the last digits of floats."""


def paired_ratio(values: Mapping[K, float], reference: Mapping[K, float]) -> Estimate | None:
    """The ratio of `values` to `reference`, paired by their common keys (run and round); None without a pair.

    Ratios are taken as logarithms, so that twice as fast and half as fast are equally far from 1. Their middle three
    fifths are averaged: as safe from single bad rounds as a median, and a third fewer rounds for the same interval.
    """
    pairs = _pairs(values, reference)
    logs = pairs[0]
    if not logs:
        return None
    if (by_process := _by_process(*pairs)) is not None:
        return by_process.as_ratio
    found = bootstrapped(logs, _middle)
    low, high = (None if bound is None else math.exp(bound) for bound in (found.low, found.high))
    return Estimate(math.exp(found.value), low, high, found.n)


def p_value(values: Mapping[K, float], reference: Mapping[K, float]) -> float | None:
    """Two-sided p-value of "the ratio is 1" by a t-test of its logarithms; None below six pairs.

    Ranks would be the usual choice beside medians, but with six pairs no rank test can fall below 0.03, and nothing
    could be told apart once several pairs are corrected for.
    """
    pairs = _pairs(values, reference)
    if len(pairs[0]) < ROUNDS_FOR_INTERVAL:
        return None
    found = _by_process(*pairs) or mean_effect(pairs[0])
    return found.p(0.0) if found else None


def _pairs(values: Mapping[K, float], reference: Mapping[K, float]) -> tuple[tuple[float, ...], tuple[Any, ...], tuple[Any, ...]]:
    """Of every pair the logarithm of its ratio, and which process gave either half (`bench.record.InProcess`), None where that
    is not known."""
    common = [key for key in values if key in reference]
    logs = tuple(math.log(values[key] / reference[key]) for key in common)
    here, there = (tuple(getattr(side[key], "process", None) for key in common) for side in (values, reference))
    return logs, here, there


@lru_cache(maxsize=65536)
def _by_process(logs: tuple[float, ...], here: tuple[Any, ...], there: tuple[Any, ...]) -> Effect | None:
    """The mean over processes of a paired logarithm, as sure as their number makes it; None where they do not differ.

    Every pair is the effect of one process of each side and noise (two-way analysis of variance; the order of renewals
    crosses them). Whether the effects are more than noise is asked by an F-test. The spread of effects is taken to be
    that of both sides together, so that a side with a single process has one too. Effects of processes that were never
    paired with others', as those of several runs, cannot be told apart; the smallest ones that explain the pairs are
    taken, whose spread is then that of the runs.
    """
    if len(logs) < ROUNDS_FOR_INTERVAL or None in (*here, *there) or len(set(here)) + len(set(there)) < FREEDOM + 2:
        return None
    import numpy as np
    from scipy.special import fdtrc

    data, n = np.asarray(logs), len(logs)
    (mine, at), (others, against) = (np.unique([str(one) for one in side], return_inverse=True) for side in (here, there))
    design = np.zeros((n, len(mine) + len(others)))
    design[np.arange(n), at] = 1
    design[np.arange(n), len(mine) + against] = -1
    effects, _, rank, _ = np.linalg.lstsq(design, data, rcond=None)
    noise = float(((data - design @ effects) ** 2).sum())
    explained = float(((data - data.mean()) ** 2).sum()) - noise
    freedom = int(rank) - 1  # what the processes of one run and those of another have in common, the run, counts once
    if freedom < FREEDOM or n <= rank or noise + explained < EXACT:
        return None
    chance = float(fdtrc(freedom, n - rank, explained / freedom / max(noise / (n - rank), EXACT)))
    if chance >= DIFFERENT:
        return None
    sides = effects[: len(mine)], effects[len(mine) :]
    spread = sum(float(((side - side.mean()) ** 2).sum()) for side in sides) / freedom
    error = math.sqrt(spread * sum(1 / len(side) for side in sides))
    return Effect(float(sides[0].mean() - sides[1].mean()), error, freedom, n)


def _middle(values: Any, axis: int = -1) -> Any:
    """Mean of what is left without the highest and the lowest fifth."""
    import numpy as np

    ordered = np.sort(values, axis=axis)
    cut = int(0.2 * ordered.shape[axis])
    return np.take(ordered, range(cut, ordered.shape[axis] - cut), axis=axis).mean(axis=axis)
