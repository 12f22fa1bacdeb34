"""Few seeds: their variance is moderated by the other configurations of the scale."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from bench.stats.intervals import contrast, difference, less
from bench.stats.power import decided_from
from bench.stats.seed_variance import (
    CommonVariance,
    Seeds,
    Variance,
    common_variance,
    variance_of,
)

from .by_hand.seeds import covered, pair


@pytest.mark.parametrize(("kind", "least"), [("equal", 0.93), ("varying", 0.92), ("1 and 2", 0.92)])
def test_intervals_over_two_seeds_contain_the_truth(kind: str, least: float) -> None:
    """`python -m tests.by_hand.seeds` has more draws and more spreads."""
    draw = random.Random(1)
    drawn = [pair(draw, 20, 2, kind) for _ in range(600)]
    moderated, welch = map(list, zip(*drawn, strict=True))
    assert least <= covered(moderated, 0.05) <= 0.985
    halves = [
        statistics.median(effect.half_width(0.05) for effect in effects)
        for effects in (moderated, welch)
    ]
    assert halves[0] < 0.6 * halves[1], "that is what it is for"


def test_the_common_variance_is_found_with_how_much_it_is_worth() -> None:
    draw = random.Random(0)
    alike = [[draw.gauss(0, 2) for _ in range(3)] for _ in range(300)]
    common = common_variance(alike)
    assert common is not None and common.pooled == 600
    assert common.variance == pytest.approx(4, rel=0.15)
    assert common.freedom > 20
    unlike = [[draw.gauss(0, draw.lognormvariate(0, 1)) for _ in range(3)] for _ in range(300)]
    other = common_variance(unlike)
    assert other is not None and other.freedom < 10, "each has to speak for itself"


def test_too_few_configurations_have_no_common_variance() -> None:
    draw = random.Random(0)
    assert common_variance([[draw.random() for _ in range(2)] for _ in range(9)]) is None
    assert common_variance([[1.0, 1.0]] * 20) is None
    assert common_variance([[1.0]] * 20) is None
    left, right = [1.0, 2.0, 4.0], [1.0, 1.5, 2.5]
    assert difference(Seeds(left), Seeds(right)) == difference(left, right), "Welch's, as before"


def test_a_larger_variance_of_its_own_is_kept() -> None:
    common = CommonVariance(1.0, math.inf, 20)
    assert variance_of(Seeds([0.0, 0.1], common)) == Variance(1.0, 20, 20)
    assert variance_of(Seeds([0.0, 10.0], common)) == Variance(50.0, 20, 20)
    weighted = variance_of(Seeds([0.0, 0.0], CommonVariance(1.0, 3.0, 20)))
    assert weighted == Variance(0.75, 4.0, 20)


def test_a_common_variance_is_one_term_however_often_it_is_used() -> None:
    common = CommonVariance(1.0, math.inf, 12)
    cells = [(1.0, Seeds([0.0, 0.1], common)), (-1.0, Seeds([1.0, 1.1], common))]
    effect = contrast(cells)
    assert effect is not None
    assert (effect.freedom, effect.pooled, effect.groups) == (12, 12, 2)
    assert effect.error == pytest.approx(1.0)
    twice = less(effect, effect)
    assert (twice.freedom, twice.pooled, twice.groups) == (12, 12, 4)


def test_power_knows_of_it() -> None:
    alone = decided_from(2, 2, 0.05, 0.8)
    shared = decided_from(2, 2, 0.05, 0.8, shared=30)
    known = 1.96 + 0.84
    assert known < shared < 1.3 * known < alone
