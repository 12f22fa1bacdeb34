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
"""Fewest degrees of freedom of a common variance that is used: in nine of ten cases the true
standard deviation is then 0.74 to 1.6 times as large."""
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
    parts = [variance_of(values) for values in map(list, groups) if len(values) > 1]
    together = pooled(parts)
    return _fitted(parts, together) if together and together.value else None


def pooled(parts: Sequence[Variance]) -> Variance | None:
    """Return the variance within groups, as if it were the same in all of them.

    None if they have fewer than `FREEDOM` degrees of freedom together.
    """
    freedom = sum(part.freedom for part in parts)
    if freedom < FREEDOM:
        return None
    return Variance(sum(part.value * part.freedom for part in parts) / freedom, freedom)


def _fitted(parts: Sequence[Variance], together: Variance) -> CommonVariance:
    """Fit a scaled inverse chi-squared distribution by the moments of logarithms (Smyth 2004)."""
    from scipy.special import digamma, polygamma

    number = round(together.freedom)
    logs, noise = [], []
    for part in parts:
        half = part.freedom / 2
        value = max(part.value, FLOOR * together.value)
        logs.append(math.log(value) - digamma(half) + math.log(half))
        noise.append(polygamma(1, half))
    excess = statistics.variance(logs) - statistics.fmean(noise)
    if excess <= 0:
        return CommonVariance(together.value, math.inf, number)
    half = _trigamma_inverse(excess)
    common = math.exp(statistics.fmean(logs) + digamma(half) - math.log(half))
    return CommonVariance(common, 2 * half, number)


def _trigamma_inverse(value: float) -> float:
    """Return x with trigamma(x) = `value`."""
    from scipy.optimize import brentq
    from scipy.special import polygamma

    # trigamma(x) lies between 1/x and 1/x + 1/x².
    low = 1 / (2 * value) if value < 1 else 1 / (2 * math.sqrt(value))
    high = 2 / value + 2 / math.sqrt(value)
    return float(brentq(lambda x: polygamma(1, x) - value, low / 2, high))
