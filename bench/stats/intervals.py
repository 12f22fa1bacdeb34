"""Estimates, their intervals and tests: pure functions of numbers.

For values measured in rounds by several processes, see bench/stats/mixed_effects.py and
bench/stats/paired.py.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bench.stats.seed_variance import variance_of

K = TypeVar("K", bound=Hashable)
ALPHA = 0.05
"""Error rate of tests; intervals miss the truth as often."""
ROUNDS_FOR_INTERVAL = 6
"""Fewest rounds for an interval: from fewer, it would promise more than it keeps."""
Z = 1.959963984540054
"""The 97.5th percentile of the standard normal distribution."""


@dataclass(frozen=True)
class Estimate:
    """A value and the 95 % interval around it, from `n` observations.

    `low` and `high` are None if there are too few observations, and for an exact count.
    """

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 1
    freedom: float | None = None
    """Degrees of freedom of Student's distribution behind the interval, if not n - 1."""
    processes: int | None = None
    """The number of processes behind the rounds, on the side with the fewest."""

    @property
    def half_width(self) -> float | None:
        """Half the width of the interval, in the value's unit; None without an interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    @property
    def relative(self) -> float | None:
        """Half the width as a share of the value; None without an interval, or for the value 0."""
        if self.half_width is None or not self.value:
            return None
        return self.half_width / abs(self.value)

    def times(self, factor: float) -> Estimate:
        """Return the estimate multiplied by `factor`, which converts its unit."""
        low = None if self.low is None else self.low * factor
        high = None if self.high is None else self.high * factor
        return Estimate(self.value * factor, low, high, self.n, self.freedom, self.processes)

    def holds(self, truth: float) -> bool:
        """True if the interval contains `truth`; False without an interval."""
        return self.low is not None and self.high is not None and self.low <= truth <= self.high


def student(freedom: float, share: float = 0.975) -> float:
    """Return a percentile of Student's distribution, by default the 97.5th."""
    # Not scipy.stats, which takes a second to import.
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))


def _beyond(distance: float, freedom: float) -> float:
    """Return the probability of Student's distribution beyond plus and minus `distance`."""
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -distance))


def holm(p_values: Mapping[K, float]) -> dict[K, float]:
    """Return the p-values corrected for their number (Holm 1979).

    Those below 0.05 all hold together, with 95 % confidence.
    """
    corrected: dict[K, float] = {}
    largest = 0.0
    for place, (key, value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, (len(p_values) - place) * value))
        corrected[key] = largest
    return corrected


def holm_levels(p_values: Mapping[K, float], alpha: float) -> dict[K, float]:
    """Return, by key, the level with which Holm's correction compares the p-value.

    After the first p-value that fails, all later ones have its level. An interval at 1 - level
    contains the tested value if and only if the corrected p-value is not below `alpha`.
    """
    levels: dict[K, float] = {}
    failed: float | None = None
    for place, (key, value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        level = failed if failed is not None else alpha / (len(p_values) - place)
        failed = level if value >= level else failed
        levels[key] = level
    return levels


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the `share` percentile (0.5, 0.9 or 0.99) of single calls; None if there are too few.

    Enough are those for which the upper end of a distribution-free 95 % interval lies inside the
    sample: 64 values for p90, 662 for p99 (order statistics by Wilks 1941).
    """
    needed = {0.5: 1, 0.9: 64, 0.99: 662}
    if len(values) < needed[share]:
        return None
    import numpy as np

    return float(np.quantile(values, share))


def of_calls(windows: Sequence[Sequence[float]], share: float) -> float | None:
    """Return the `share` percentile of single calls, each divided by the median of its round.

    `windows` has one sequence of seconds per round; the result is in seconds, at the median round.
    Pooled without that division, calls of slow rounds would be the tail, although the differences
    between rounds are in the interval already. None if there are too few calls, as for
    `percentile`, or if a median is not above 0.
    """
    medians: list[float] = []
    relative: list[float] = []
    for window in filter(None, windows):
        median = statistics.median(window)
        if median <= 0:
            return None
        medians.append(median)
        relative += [value / median for value in window]
    tail = percentile(relative, share)
    return None if tail is None else statistics.median(medians) * tail


def smallest_within(values: Mapping[int, float], share: float) -> int | None:
    """Return the knee of a sweep: the smallest key whose value is within `share` of the highest."""
    best = max(values.values(), default=0.0)
    close = [key for key, value in values.items() if value >= (1 - share) * best]
    return min(close, default=None)


def mean_of_seeds(values: Sequence[float]) -> Estimate:
    """Return the mean over training runs with different seeds.

    From two runs on it has Student's t interval: a bootstrap of three values would cover 73 %, not
    95 %.
    """
    mean, n = statistics.fmean(values), len(values)
    if n < 2:
        return Estimate(mean, n=n)
    half = student(n - 1) * statistics.stdev(values) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


@dataclass(frozen=True)
class Paired:
    """Two sets of answers to the same questions.

    `only_left` and `only_right` count the questions that only one set answered right. `difference`
    is that of the two shares of right answers, with Wald's 95 % interval for paired shares; `p` is
    McNemar's exact p-value.
    """

    only_left: int
    only_right: int
    difference: Estimate
    p: float


def mcnemar(left: Sequence[bool], right: Sequence[bool]) -> Paired:
    """Return McNemar's exact test (1947) of two sets of answers: are disagreements a fair coin?"""
    from scipy.stats import binomtest

    n = len(left)
    only_left = sum(bool(a) and not b for a, b in zip(left, right, strict=True))
    only_right = sum(bool(b) and not a for a, b in zip(left, right, strict=True))
    odd, value = only_left + only_right, (only_left - only_right) / n
    half = Z * math.sqrt(max(0.0, odd - (only_left - only_right) ** 2 / n)) / n
    p = float(binomtest(only_left, odd, 0.5).pvalue) if odd else 1.0
    return Paired(only_left, only_right, Estimate(value, value - half, value + half, n), p)


def proportion(correct: int, images: int) -> Estimate:
    """Return the share of right answers with Wilson's 95 % binomial interval.

    The interval covers the choice of the test images only.
    """
    share = correct / images
    widening = 1 + Z**2 / images
    middle = (share + Z**2 / (2 * images)) / widening
    half = Z / widening * math.sqrt(share * (1 - share) / images + Z**2 / (4 * images**2))
    # At 0 and 1 the bound is exact, which rounding would miss.
    low = 0.0 if correct == 0 else middle - half
    high = 1.0 if correct == images else middle + half
    return Estimate(share, low, high, images)


@dataclass(frozen=True)
class Effect:
    """A difference, the logarithm of a ratio or artanh of a correlation, from `n` observations.

    `error` is its standard error, `freedom` the degrees of freedom of that.
    """

    value: float
    error: float
    freedom: float
    n: int
    processes: int | None = None
    """The number of processes behind the rounds, on the side with the fewest."""
    runs: int = 1
    """The number of runs behind the rounds: measuring again until a result appears is multiple
    testing, with as many tests as runs."""
    groups: int = 1
    """The number of groups of values, such as the seeds of one network each, that it compares."""
    pooled: int | None = None
    """The degrees of freedom of a variance that all configurations of a scale have in common
    (bench/stats/seed_variance.py); None if each group has a variance of its own."""

    @property
    def estimate(self) -> Estimate:
        """The effect with Student's 95 % interval."""
        half = student(self.freedom) * self.error
        return Estimate(
            self.value, self.value - half, self.value + half, self.n, self.freedom, self.processes
        )

    @property
    def as_ratio(self) -> Estimate:
        """The ratio of which this is the logarithm, with its 95 % interval."""
        return self.as_ratio_at(ALPHA)

    @property
    def as_correlation(self) -> Estimate:
        """The correlation of which this is artanh, with its 95 % interval."""
        on_scale = self.estimate
        assert on_scale.low is not None and on_scale.high is not None
        low, value, high = map(math.tanh, (on_scale.low, on_scale.value, on_scale.high))
        return Estimate(value, low, high, self.n, self.freedom, self.processes)

    def half_width(self, level: float) -> float:
        """Return half the width of the interval that misses the truth with probability `level`."""
        return student(self.freedom, 1 - level / 2) * self.error

    def as_ratio_at(self, level: float) -> Estimate:
        """Return the ratio with the interval that misses the truth with probability `level`."""
        half = self.half_width(level)
        low, value, high = map(_exp, (self.value - half, self.value, self.value + half))
        return Estimate(value, low, high, self.n, self.freedom, self.processes)

    def p(self, against: float) -> float:
        """Return the two-sided p-value of the hypothesis that the effect is `against`."""
        distance = abs(self.value - against)
        if self.error == 0:
            return 0.0 if distance else 1.0
        return _beyond(distance / self.error, self.freedom)


def _exp(logarithm: float) -> float:
    """Return e to this power, cut off where a float would overflow."""
    return math.exp(max(-700.0, min(logarithm, 700.0)))


def effect_of_ratio(ratio: Estimate | None) -> Effect | None:
    """Return the logarithm of a paired ratio; None if the ratio has no interval."""
    if ratio is None or ratio.low is None or ratio.high is None:
        return None
    half = (math.log(ratio.high) - math.log(ratio.low)) / 2
    freedom = ratio.freedom or ratio.n - 1
    return Effect(math.log(ratio.value), half / student(freedom), freedom, ratio.n, ratio.processes)


def mean_effect(values: Sequence[float]) -> Effect | None:
    """Return the mean of independent values; None from fewer than two."""
    if len(values) < 2:
        return None
    return Effect(
        statistics.fmean(values),
        statistics.stdev(values) / math.sqrt(len(values)),
        len(values) - 1,
        len(values),
    )


def difference(left: Sequence[float], right: Sequence[float]) -> Effect | None:
    """Return the mean of `left` minus that of `right`, with unequal variances (Welch 1947), which
    are moderated if the values are `Seeds` with a common variance.

    None if a side has fewer than two values.
    """
    if len(left) < 2 or len(right) < 2:
        return None
    return contrast([(1.0, left), (-1.0, right)])


def contrast(cells: Sequence[tuple[float, Sequence[float]]]) -> Effect | None:
    """Return a weighted sum of the means of groups, each with a variance by `variance_of`.

    `cells` are pairs of weight and values. The main effects and interactions of a factorial design
    are such sums. None if a group has fewer than two values.
    """
    parts: list[tuple[float, float]] = []
    pooled: int | None = None
    value, n = 0.0, 0
    for weight, values in cells:
        if len(values) < 2:
            return None
        spread = variance_of(values)
        parts.append((weight**2 * spread.value / len(values), spread.freedom))
        pooled = _smaller(pooled, spread.pooled)
        value += weight * statistics.fmean(values)
        n += len(values)
    if not parts:
        return None
    variance, freedom = _summed(parts, pooled)
    return Effect(value, math.sqrt(variance), freedom, n, groups=len(parts), pooled=pooled)


def _smaller(left: int | None, right: int | None) -> int | None:
    """Return the smaller number of those that are known."""
    return min(filter(None, (left, right)), default=None)


def _summed(parts: Sequence[tuple[float, float]], pooled: int | None) -> tuple[float, float]:
    """Return variance and freedom of a sum; a common variance is one term, however often used."""
    variance, freedom = satterthwaite(parts)
    return variance, freedom if pooled is None else min(freedom, pooled)


def satterthwaite(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the variance of a sum and its degrees of freedom (Satterthwaite 1946).

    `parts` are pairs of the variance and the degrees of freedom of each independent term.
    """
    variance = sum(part for part, _ in parts)
    if not variance:
        return 0.0, sum(freedom for _, freedom in parts)
    return variance, variance**2 / sum(part**2 / freedom for part, freedom in parts)


def less(left: Effect, right: Effect) -> Effect:
    """Return the difference of two independent effects."""
    pooled = _smaller(left.pooled, right.pooled)
    parts = [(left.error**2, left.freedom), (right.error**2, right.freedom)]
    variance, freedom = _summed(parts, pooled)
    fewest = None
    if left.processes is not None and right.processes is not None:
        fewest = min(left.processes, right.processes)
    return Effect(
        left.value - right.value,
        math.sqrt(variance),
        freedom,
        left.n + right.n,
        fewest,
        groups=left.groups + right.groups if pooled else 1,
        pooled=pooled,
    )


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return the slope of the least-squares line through the points."""
    return statistics.linear_regression(xs, ys).slope
