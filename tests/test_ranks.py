"""Kendall's tau and its interval: against scipy, and on draws whose truth is known."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
from scipy.stats import kendalltau

from bench.claims.rules import Finding, Unit, judge, resolvable
from bench.report.tables.verdicts import PLACES
from bench.report.tables.verdicts import effect as shown
from bench.stats.intervals import Effect
from bench.stats.ranks import kendall, rank_correlation

DRAWS = 300


def noise(draw: np.random.Generator, kind: str, size: tuple[int, int]) -> np.ndarray:
    """What sets the second quantity apart from the first: alike for all, by group, or outlying."""
    if kind == "groups":
        return 0.9 * (2 * draw.integers(0, 2, size) - 1) + 0.3 * draw.normal(size=size)
    return draw.normal(size=size) if kind == "normal" else 0.7 * draw.standard_t(3, size)


def drawn(
    draw: np.random.Generator, tau: float, size: tuple[int, int], kind: str = "normal"
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of items; the normal population has this tau, the others one nearby."""
    pearson = math.sin(math.pi * tau / 2)
    xs = draw.normal(size=size)
    return xs, pearson * xs + math.sqrt(1 - pearson**2) * noise(draw, kind, size)


def effects(ys: np.ndarray, error: float = 0.0, runs: int = 1) -> list[Effect]:
    return [Effect(float(y), error, 8.0, 16, runs=runs) for y in ys]


def test_it_is_scipys_where_nothing_is_tied() -> None:
    draw = np.random.default_rng(0)
    for items in (2, 5, 40):
        xs, ys = draw.normal(size=(2, items))
        assert kendall(xs, ys) == pytest.approx(kendalltau(xs, ys).statistic)
    assert kendall([1, 2, 3], [10, 20, 30]) == 1
    assert kendall([1, 2, 3], [30, 20, 10]) == -1
    assert kendall([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)


@pytest.mark.parametrize("kind", ["normal", "groups", "outliers"])
@pytest.mark.parametrize("items", [20, 40])
@pytest.mark.parametrize("tau", [0.6, 0.9])
def test_the_interval_holds_the_truth(tau: float, items: int, kind: str) -> None:
    """At least as often as it promises: near 1 it is wider than it has to be."""
    draw = np.random.default_rng(1)
    # Pairs that have nothing to do with each other.
    xs, ys = drawn(draw, tau, (100_000, 2), kind)
    truth = float(np.mean(np.sign(xs[:, 0] - xs[:, 1]) * np.sign(ys[:, 0] - ys[:, 1])))
    held = 0
    for left, right in zip(*drawn(draw, tau, (DRAWS, items), kind), strict=True):
        found = rank_correlation(list(left), effects(right))
        assert found is not None
        held += found.as_correlation.holds(truth)
    print(f"tau {truth:.2f}, {items} items, {kind}: {held} of {DRAWS} draws of seed 1")
    assert held / DRAWS >= 0.93


def test_an_interval_over_rounds_holds_the_truth_of_exact_values() -> None:
    """Rounds that leave neighbours in the wrong order cost little."""
    draw, held = np.random.default_rng(3), 0
    for left, right in zip(*drawn(draw, 0.6, (DRAWS, 40)), strict=True):
        found = rank_correlation(list(left), effects(right + 0.1 * draw.normal(size=40), 0.1))
        assert found is not None
        held += found.as_correlation.holds(0.6)
    print(f"{held} of {DRAWS} draws of seed 3")
    assert held / DRAWS >= 0.93


def test_noise_of_the_rounds_widens_it() -> None:
    xs, ys = (rows[0] for rows in drawn(np.random.default_rng(2), 0.6, (1, 40)))
    plain = rank_correlation(list(xs), effects(ys))
    wide = rank_correlation(list(xs), effects(ys, error=0.5, runs=2))
    assert plain is not None and wide is not None
    assert wide.value == plain.value and wide.error > 1.02 * plain.error
    assert (plain.n, plain.runs, wide.runs) == (40, 1, 2)


def test_perfect_agreement_has_an_interval_and_few_items_have_none() -> None:
    xs = [float(x) for x in range(40)]
    found = rank_correlation(xs, effects(np.array(xs)))
    assert found is not None and math.isfinite(found.error)
    estimate = found.as_correlation
    assert estimate.low is not None and 0.95 < estimate.low < estimate.value < 1
    assert rank_correlation(xs[:9], effects(np.array(xs[:9]))) is None


def correlation(tau: float, error: float = 0.12) -> Finding:
    return Finding(
        what="it",
        unit="rank correlation",
        region=(-math.inf, 0.8),
        effect=Effect(math.atanh(tau), error, 38, 40),
        of="architectures",
    )


def test_a_correlation_is_judged_on_fishers_scale_and_shown_as_itself() -> None:
    outcomes = [judge([correlation(tau)])[0].outcome for tau in (0.5, 0.77, 0.95)]
    assert outcomes == ["supported", "inconclusive", "contradicted"]
    found = correlation(0.5).shown
    assert found is not None and found.value == pytest.approx(0.5) and found.holds(0.5)
    assert shown(correlation(0.5)) == "0.50 [0.30, 0.66] rank correlation"
    assert correlation(0.5).bounds == (-math.inf, math.atanh(0.8))
    assert Finding(
        what="w", unit="rank correlation", region=(0.2, math.inf), effect=None
    ).bounds == (math.atanh(0.2), math.inf)


def test_its_power_is_in_its_own_unit() -> None:
    finding = correlation(0.7)
    [by] = resolvable(judge([finding])).values()
    assert finding.distance(by) == pytest.approx(0.8 - math.tanh(math.atanh(0.8) - by))


def test_the_number_of_architectures_that_would_settle_it() -> None:
    [found] = judge([correlation(0.74, 0.11)])
    assert found.outcome == "inconclusive" and found.needed is not None and found.needed > 40


def test_tables_know_the_decimals_of_every_unit() -> None:
    assert set(PLACES) == set(get_args(Unit))
