"""Medians, ratios and their intervals: pure functions of numbers.

Of rounds and of the processes that gave them: bench/stats/mixed_effects.py and bench/stats/paired.py.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
ALPHA = 0.05
"""What a test may find in one of so many cases where there is nothing: intervals hold the truth in the rest."""
ROUNDS_FOR_INTERVAL = 6
"""Below this many rounds an interval says less than it seems to; none is given."""


@dataclass(frozen=True)
class Estimate:
    """A value, the 95 % interval around it (None: too few observations, or an exact count) and what it rests on."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 1
    freedom: float | None = None
    """Degrees of freedom of the Student's distribution behind the interval, where these are not n - 1."""
    processes: int | None = None
    """Of rounds: how many processes gave them, on the side that had the fewest."""

    @property
    def half_width(self) -> float | None:
        """Half the interval, in the value's unit."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    @property
    def relative(self) -> float | None:
        """Half the interval as a share of the value."""
        return (
            None if self.half_width is None or not self.value else self.half_width / abs(self.value)
        )

    def times(self, factor: float) -> Estimate:
        """In another unit."""
        low, high = (None if end is None else end * factor for end in (self.low, self.high))
        return Estimate(self.value * factor, low, high, self.n, self.freedom, self.processes)

    def holds(self, truth: float) -> bool:
        """Whether the interval contains `truth`; False without an interval."""
        return self.low is not None and self.high is not None and self.low <= truth <= self.high


def student(freedom: float, share: float = 0.975) -> float:
    """A percentile of Student's distribution, the 97.5th unless said. (scipy.special: its statistics take a second to import.)"""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))


def _beyond(distance: float, freedom: float) -> float:
    """The probability of Student's distribution outside of plus and minus `distance`."""
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -distance))


def holm(p_values: Mapping[K, float]) -> dict[K, float]:
    """The p-values corrected for how many there are (Holm 1979); below 0.05 all of them hold together at 95 %."""
    corrected: dict[K, float] = {}
    largest = 0.0
    for place, (key, value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, (len(p_values) - place) * value))
        corrected[key] = largest
    return corrected


def holm_levels(p_values: Mapping[K, float], alpha: float) -> dict[K, float]:
    """By key the level at which Holm's correction holds its p-value against: that of the first that fails for all after it.

    An interval at 1 - level contains what was tested exactly where the corrected p-value is not below `alpha`.
    """
    levels: dict[K, float] = {}
    failed: float | None = None
    for place, (key, value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        level = failed if failed is not None else alpha / (len(p_values) - place)
        failed = level if value >= level else failed
        levels[key] = level
    return levels


def percentile(values: Sequence[float], share: float) -> float | None:
    """The `share` percentile (0.9 for p90) of single calls; None where too few lie beyond it to know it.

    The bounds are those of a distribution-free 95 % interval whose upper end is still inside the sample: 64 values for
    p90, 662 for p99 (Wilks 1941 gives the order statistics).
    """
    needed = {0.5: 1, 0.9: 64, 0.99: 662}
    if len(values) < needed[share]:
        return None
    import numpy as np

    return float(np.quantile(values, share))


def of_calls(windows: Sequence[Sequence[float]], share: float) -> float | None:
    """The `share` percentile of single calls, one sequence a round, each held against the median of its own round.

    Pooled as they are, calls of slow rounds would be the tail: how rounds differ is in the interval. None as for `percentile`.
    """
    medians = [statistics.median(window) for window in windows if window]
    if not medians or min(medians) <= 0:
        return None
    found = percentile(
        [value / statistics.median(window) for window in windows if window for value in window],
        share,
    )
    return None if found is None else statistics.median(medians) * found


def smallest_within(values: Mapping[int, float], share: float) -> int | None:
    """The knee of a sweep: the smallest key whose value is within `share` of the best (highest) one."""
    best = max(values.values(), default=0.0)
    return min((key for key, value in values.items() if value >= (1 - share) * best), default=None)


def mean_of_seeds(values: Sequence[float]) -> Estimate:
    """Mean over trainings that differ in their seed, with Student's t interval from two on.

    A bootstrap of three values covers 73 %, not 95 %: with so few there is no way around a distribution.
    """
    mean, n = statistics.fmean(values), len(values)
    if n < 2:
        return Estimate(mean, n=n)
    half = student(n - 1) * statistics.stdev(values) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


@dataclass(frozen=True)
class Paired:
    """Two sets of answers to the same questions: how often only one of them was right, the difference of their shares
    with its 95 % interval (Wald's for paired shares), and McNemar's exact p-value."""

    only_left: int
    only_right: int
    difference: Estimate
    p: float


def mcnemar(left: Sequence[bool], right: Sequence[bool]) -> Paired:
    """McNemar's test (1947) of two sets of answers, in its exact form: the disagreements are a fair coin or not."""
    from scipy.stats import binomtest

    n = len(left)
    only_left = sum(bool(a) and not b for a, b in zip(left, right, strict=True))
    only_right = sum(bool(b) and not a for a, b in zip(left, right, strict=True))
    odd, value = only_left + only_right, (only_left - only_right) / n
    half = 1.959964 * math.sqrt(max(0.0, odd - (only_left - only_right) ** 2 / n)) / n
    p = float(binomtest(only_left, odd, 0.5).pvalue) if odd else 1.0
    return Paired(only_left, only_right, Estimate(value, value - half, value + half, n), p)


def proportion(correct: int, images: int) -> Estimate:
    """Share of right answers with Wilson's 95 % binomial interval: the uncertainty of the test images alone."""
    share, z = correct / images, 1.959963984540054
    middle = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    half = (
        z / (1 + z**2 / images) * math.sqrt(share * (1 - share) / images + z**2 / (4 * images**2))
    )
    # At either end the bound is the end itself, which rounding would miss.
    return Estimate(
        share,
        0.0 if correct == 0 else middle - half,
        1.0 if correct == images else middle + half,
        images,
    )


@dataclass(frozen=True)
class Effect:
    """A difference, or the logarithm of a ratio: its value, standard error and degrees of freedom, `n` observations behind it."""

    value: float
    error: float
    freedom: float
    n: int
    processes: int | None = None
    """Of rounds: how many processes gave them, on the side that had the fewest."""
    runs: int = 1
    """Of rounds: of how many runs they are. Whoever measures again until something comes out has looked as often."""

    @property
    def estimate(self) -> Estimate:
        """With Student's 95 % interval."""
        half = student(self.freedom) * self.error
        return Estimate(
            self.value, self.value - half, self.value + half, self.n, self.freedom, self.processes
        )

    @property
    def as_ratio(self) -> Estimate:
        """The ratio that this is the logarithm of, with the same interval."""
        low, value, high = (
            math.exp(min(bound, 700.0))
            for bound in (self.estimate.low or 0.0, self.value, self.estimate.high or 0.0)
        )
        return Estimate(value, low, high, self.n, self.freedom, self.processes)

    def half_width(self, level: float) -> float:
        """Half the interval that misses the truth with this probability."""
        return student(self.freedom, 1 - level / 2) * self.error

    def as_ratio_at(self, level: float) -> Estimate:
        """As `as_ratio`, with an interval that misses the truth with this probability."""
        half = self.half_width(level)
        low, value, high = (
            math.exp(max(-700.0, min(end, 700.0)))
            for end in (self.value - half, self.value, self.value + half)
        )
        return Estimate(value, low, high, self.n, self.freedom, self.processes)

    def p(self, against: float) -> float:
        """Two-sided p-value of "it is `against`"."""
        distance = abs(self.value - against)
        if self.error == 0:
            return 0.0 if distance else 1.0
        return _beyond(distance / self.error, self.freedom)


def effect_of_ratio(ratio: Estimate | None) -> Effect | None:
    """The logarithm of a paired ratio; None where the ratio has no interval."""
    if ratio is None or ratio.low is None or ratio.high is None:
        return None
    half = (math.log(ratio.high) - math.log(ratio.low)) / 2
    freedom = ratio.freedom or ratio.n - 1
    return Effect(math.log(ratio.value), half / student(freedom), freedom, ratio.n, ratio.processes)


def mean_effect(values: Sequence[float]) -> Effect | None:
    """The mean of independent values; None below two."""
    if len(values) < 2:
        return None
    return Effect(
        statistics.fmean(values),
        statistics.stdev(values) / math.sqrt(len(values)),
        len(values) - 1,
        len(values),
    )


def difference(left: Sequence[float], right: Sequence[float]) -> Effect | None:
    """Mean of `left` less mean of `right`, whatever their spreads (Welch 1947); None where a side has fewer than two."""
    if len(left) < 2 or len(right) < 2:
        return None
    return contrast([(1.0, left), (-1.0, right)])


def contrast(cells: Sequence[tuple[float, Sequence[float]]]) -> Effect | None:
    """A weighted sum of the means of groups, each with its own spread; None where a group has fewer than two values.

    Degrees of freedom by Satterthwaite (1946). The main effects and interactions of a factorial are such sums.
    """
    if not cells or any(len(values) < 2 for _, values in cells):
        return None
    parts = [
        (weight**2 * statistics.variance(values) / len(values), len(values) - 1)
        for weight, values in cells
    ]
    variance = sum(part for part, _ in parts)
    freedom = (
        variance**2 / sum(part**2 / free for part, free in parts)
        if variance
        else sum(free for _, free in parts)
    )
    value = sum(weight * statistics.fmean(values) for weight, values in cells)
    return Effect(value, math.sqrt(variance), freedom, sum(len(values) for _, values in cells))


def less(left: Effect, right: Effect) -> Effect:
    """The difference of two effects that have nothing in common. Degrees of freedom by Satterthwaite (1946)."""
    parts = [(one.error**2, one.freedom) for one in (left, right)]
    variance = sum(part for part, _ in parts)
    freedom = (
        variance**2 / sum(part**2 / free for part, free in parts)
        if variance
        else sum(free for _, free in parts)
    )
    fewest = (
        None
        if left.processes is None or right.processes is None
        else min(left.processes, right.processes)
    )
    return Effect(left.value - right.value, math.sqrt(variance), freedom, left.n + right.n, fewest)


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Of the least-squares line through the points."""
    return statistics.linear_regression(xs, ys).slope
