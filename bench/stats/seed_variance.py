"""The variance between seeds, with what the other configurations of a scale tell about it.

Two or three seeds say little about their own variance: Welch's interval over two seeds a side is
four times as wide as it is with the variance known. Configurations of one scale spread by similar
amounts, so each variance is moderated: a weighted mean of its own and a common one, whose weight
follows from how far the variances differ (empirical Bayes, Smyth 2004). Where a configuration's own
variance is larger than that, its own is used, so that an unsteady network is not called steady.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FREEDOM = 10
"""Fewest degrees of freedom of a common variance that is used."""
FLOOR = 1e-3
"""Smallest variance of a group, relative to the mean one: two seeds may be equal by chance."""


@dataclass(frozen=True)
class CommonVariance:
    """The common variance of many groups, and the degrees of freedom that it counts for in each.

    These are infinite if the groups' variances differ by no more than chance. `pooled` are the
    degrees of freedom of all groups together.
    """

    variance: float
    freedom: float
    pooled: int


class Seeds(list[float]):
    """One value per seed of a configuration, with the common variance of its scale, if known."""

    def __init__(self, values: Iterable[float], common: CommonVariance | None = None) -> None:
        super().__init__(values)
        self.common = common


@dataclass(frozen=True)
class Variance:
    """An estimated variance and its degrees of freedom; `pooled` are those of a common variance in
    it, None if there is none."""

    value: float
    freedom: float
    pooled: int | None = None


def variance_of(values: Sequence[float]) -> Variance:
    """Return the variance of two values or more: their own, or moderated if they are `Seeds`."""
    own, freedom = statistics.variance(values), len(values) - 1
    common = values.common if isinstance(values, Seeds) else None
    if common is None:
        return Variance(own, freedom)
    if math.isinf(common.freedom):
        moderated, total = common.variance, float(common.pooled)
    else:
        total = common.freedom + freedom
        moderated = (common.freedom * common.variance + freedom * own) / total
    return Variance(max(own, moderated), min(total, common.pooled), common.pooled)


def common_variance(groups: Iterable[Sequence[float]]) -> CommonVariance | None:
    """Return the common variance of groups of values.

    None if they have fewer than `FREEDOM` degrees of freedom together, or are all constant.
    """
    variances, freedoms = [], []
    for values in groups:
        if len(values) > 1:
            variances.append(statistics.variance(values))
            freedoms.append(len(values) - 1)
    pooled = sum(freedoms)
    if pooled < FREEDOM:
        return None
    mean = sum(map(math.prod, zip(variances, freedoms, strict=True))) / pooled
    return _fitted(variances, freedoms, mean, pooled) if mean else None


def _fitted(
    variances: list[float], freedoms: list[int], mean: float, pooled: int
) -> CommonVariance:
    """Fit a scaled inverse chi-squared distribution by the moments of logarithms (Smyth 2004)."""
    from scipy.special import digamma, polygamma

    logs, noise = [], []
    for variance, freedom in zip(variances, freedoms, strict=True):
        logs.append(
            math.log(max(variance, FLOOR * mean)) - digamma(freedom / 2) + math.log(freedom / 2)
        )
        noise.append(polygamma(1, freedom / 2))
    excess = statistics.variance(logs) - statistics.fmean(noise)
    if excess <= 0:
        return CommonVariance(mean, math.inf, pooled)
    half = _trigamma_inverse(excess)
    common = math.exp(statistics.fmean(logs) + digamma(half) - math.log(half))
    return CommonVariance(common, 2 * half, pooled)


def _trigamma_inverse(value: float) -> float:
    """Return x with trigamma(x) = `value`."""
    from scipy.optimize import brentq
    from scipy.special import polygamma

    # trigamma(x) lies between 1/x and 1/x + 1/x².
    low = 1 / (2 * value) if value < 1 else 1 / (2 * math.sqrt(value))
    high = 2 / value + 2 / math.sqrt(value)
    return float(brentq(lambda x: polygamma(1, x) - value, low / 2, high))
