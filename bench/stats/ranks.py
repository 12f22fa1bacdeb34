"""How well one quantity ranks another: Kendall's tau, with its interval over items and rounds.

tau is the share of pairs of items that both quantities put in the same order, minus the share that
they put in opposite orders: at 0.8 they agree on nine pairs in ten. Unlike Spearman's coefficient,
it says how often a choice between two items is right.

Its interval is taken on Fisher's scale, artanh tau, which spreads out what is close to 1. The
spread over items is the jackknife's: each item is left out once. Fieller, Hartley and Pearson
(1957) have 0.437 / (n - 4) for the variance in normal populations; alone it held the truth in 85 of
100 draws of populations with outliers, while the jackknife held it in 95 or more of every
population tried. It is the least that is believed, since a jackknife sees no spread at all in a
perfect agreement. Both contain the noise of the measured values as far as this differs from item to
item; it is added once more, since a few items do not show it reliably. tests/test_ranks.py has the
draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bench.stats.intervals import Effect, satterthwaite

NORMAL, LOST_ITEMS = 0.437, 4
"""The variance of artanh tau in a normal population is `NORMAL` / (n - `LOST_ITEMS`)."""
FEWEST_ITEMS = 10
"""Fewest items for an interval."""
DRAWS = 200
"""Draws of the values within their errors."""


def kendall(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return Kendall's tau (tau-a: a tied pair counts as half agreed) of two or more items."""
    return float(_agreements(xs, [ys]).mean())


def rank_correlation(xs: Sequence[float], ys: Sequence[Effect]) -> Effect | None:
    """Return artanh of Kendall's tau of exact `xs` and measured `ys`; `n` is the number of items.

    A perfect tau counts as if half a pair were in disagreement. None from fewer than ten items.
    """
    n = len(xs)
    if n < FEWEST_ITEMS:
        return None
    agreements = _agreements(xs, [[y.value for y in ys]])[0]
    most = 1 - 1 / len(agreements)
    tau = max(-most, min(float(agreements.mean()), most))
    # The derivative of artanh.
    steepness = 1 / (1 - tau**2)
    over_items = max(_jackknife(agreements, n) * steepness**2, NORMAL / (n - LOST_ITEMS))
    over_rounds = _variance_over_rounds(xs, ys) * steepness**2
    freedom_of_rounds = min(y.freedom for y in ys)
    variance, freedom = satterthwaite([(over_items, n - 2), (over_rounds, freedom_of_rounds)])
    runs = max(y.runs for y in ys)
    return Effect(math.atanh(tau), math.sqrt(variance), freedom, n, runs=runs)


def _jackknife(agreements: Any, n: int) -> float:
    """Return the variance of tau over items, from tau without each of them."""
    import numpy as np

    left, right = np.triu_indices(n, 1)
    of_item = np.bincount(left, agreements, n) + np.bincount(right, agreements, n)
    without = (agreements.sum() - of_item) / math.comb(n - 1, 2)
    return float((n - 1) * np.var(without))


def _variance_over_rounds(xs: Sequence[float], ys: Sequence[Effect]) -> float:
    """Return the variance of tau if the values are drawn again within their standard errors."""
    import numpy as np

    draw = np.random.default_rng(0)
    shape = (DRAWS, len(ys))
    drawn = draw.normal([y.value for y in ys], [y.error for y in ys], shape)
    return float(np.var(_agreements(xs, drawn).mean(axis=1)))


def _agreements(xs: Sequence[float], ys: Any) -> Any:
    """Return 1 for each pair of items in the same order, -1 in the opposite one, 0 if tied.

    `ys` has the shape (rows, items), the result (rows, pairs).
    """
    import numpy as np

    left, right = np.triu_indices(len(xs), 1)
    order = np.sign(np.subtract.outer(xs, xs))[left, right]
    rows = np.asarray(ys, dtype=float)
    return order * np.sign(rows[:, left] - rows[:, right])
