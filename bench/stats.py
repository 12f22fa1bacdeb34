"""Medians, ratios and their intervals: pure functions of numbers.

The unit of replication is the round. A window may hold thousands of calls; they are one observation, its median.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
ROUNDS_FOR_INTERVAL = 6
"""Below this many rounds a bootstrap interval says less than it seems to; none is given."""
RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A value, the 95 % interval around it (None: too few observations, or an exact count) and what it rests on."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 1

    @property
    def half_width(self) -> float | None:
        """Half the interval, in the value's unit."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def median_interval(values: Sequence[float]) -> Estimate:
    """Median of one value per round, with a 95 % percentile-bootstrap interval from six rounds on."""
    if len(values) < ROUNDS_FOR_INTERVAL:
        return Estimate(statistics.median(values), n=len(values))
    import numpy as np
    from scipy.stats import bootstrap

    interval = bootstrap(
        (np.asarray(values),), np.median, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return Estimate(statistics.median(values), float(interval.low), float(interval.high), len(values))


def paired_ratio(values: Mapping[K, float], reference: Mapping[K, float]) -> Estimate | None:
    """Median of `values` over `reference`, paired by their common keys (run and round); None without a pair.

    Ratios are taken as logarithms, so that twice as fast and half as fast are equally far from 1.
    """
    pairs = [math.log(values[key] / reference[key]) for key in values if key in reference]
    if not pairs:
        return None
    logs = median_interval(pairs)
    low, high = (None if bound is None else math.exp(bound) for bound in (logs.low, logs.high))
    return Estimate(math.exp(logs.value), low, high, logs.n)


def proportion(correct: int, images: int) -> Estimate:
    """Share of right answers with Wilson's 95 % binomial interval: the uncertainty of the test images alone."""
    from scipy.stats import binomtest

    interval = binomtest(correct, images).proportion_ci(method="wilson")
    return Estimate(correct / images, float(interval.low), float(interval.high), images)
