"""The mean over rounds and processes: exact cases, and coverage on draws of known truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bench.stats.mixed_effects import OF_MEDIANS, centre, mean_over

from .drawn import by_turns, share_held


def test_with_all_processes_renewed_at_once_it_is_the_t_interval_of_their_means() -> None:
    draw = np.random.default_rng(1)
    values, processes = draw.normal(3, 1, 24), np.repeat(range(4), 6)
    found = mean_over(tuple(values), ((1.0, tuple(processes)), (-1.0, tuple(processes + 10))))
    assert found is not None
    means = values.reshape(4, 6).mean(axis=1)
    assert found.freedom == pytest.approx(3)
    assert found.p(2.0) == pytest.approx(stats.ttest_1samp(means, 2.0).pvalue, rel=1e-6)


def test_by_turns_more_is_known_of_the_same_number_of_processes() -> None:
    at_once = mean_over((0.0, 1.0, 0.5) * 6, ((1.0, by_turns(18, 6)), (-1.0, by_turns(18, 6))))
    turns = mean_over((0.0, 1.0, 0.5) * 6, ((1.0, by_turns(18, 6)), (-1.0, by_turns(18, 6, 0.5))))
    assert at_once and turns
    assert at_once.freedom == pytest.approx(2)
    assert 3 < turns.freedom < 4


@pytest.mark.parametrize("sides", [(1, 1), (1, 4), (4, 1)])
def test_one_process_on_a_side_has_no_interval(sides: tuple[int, int]) -> None:
    left, right = (tuple(at * many // 24 for at in range(24)) for many in sides)
    assert mean_over(tuple(map(float, range(24))), ((1.0, left), (-1.0, right))) is None


def test_neither_has_what_nobody_knows_the_processes_of() -> None:
    assert mean_over((1.0, 2.0) * 6, ((1.0, (None,) * 12),)) is None
    assert centre((1.0, 3.0) * 6, ((1.0, (None,) * 12),)) == 2.0


def test_below_six_rounds_there_is_no_interval() -> None:
    assert mean_over((1.0, 2.0, 1.0, 2.0, 1.0), ((1.0, (1, 1, 2, 2, 3)),)) is None


def test_a_single_bad_round_moves_the_mean_by_no_more_than_three_others() -> None:
    values = [0.01 * (at % 5) for at in range(30)]
    sides = ((1.0, by_turns(30, 6)), (-1.0, by_turns(30, 6, 0.5)))
    good, bad = mean_over(tuple(values), sides), mean_over((*values[:-1], 50.0), sides)
    assert good and bad
    assert abs(bad.value - good.value) < 0.005
    assert bad.error < 5 * good.error


def test_equal_rounds_are_known_exactly() -> None:
    found = mean_over((0.25,) * 12, ((1.0, by_turns(12, 3)), (-1.0, by_turns(12, 3, 0.5))))
    assert found is not None
    assert (found.value, found.error) == (0.25, pytest.approx(0, abs=1e-12))
    assert found.p(0.25) == 1.0 or found.error > 0


def test_the_sureness_follows_the_processes_and_not_the_rounds() -> None:
    """Ten times as many rounds of the same processes: hardly narrower, where these differ."""
    draw = np.random.default_rng(2)
    effects, narrow = draw.normal(0, 1, 20), []
    for each in (5, 50):
        left, right = by_turns(4 * each, each), by_turns(4 * each, each, 0.5)
        values = (
            effects[list(left)]
            - effects[[10 + one for one in right]]
            + draw.normal(0, 0.5, 4 * each)
        )
        found = mean_over(tuple(values), ((1.0, left), (-1.0, right)))
        assert found is not None
        narrow.append(found.error)
    assert 0.7 < narrow[1] / narrow[0] < 1.3


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("rounds, life", [(9, 6), (16, 6), (24, 6)])
def test_intervals_hold_the_truth_as_often_as_they_say(
    rounds: int, life: int, spread: float
) -> None:
    """Two to five processes a side; without a spread of processes, coverage is just above 0.97."""
    left, right = by_turns(rounds, life), by_turns(rounds, life, 0.5)
    held = share_held(np.random.default_rng(7), ((1.0, left), (-1.0, right)), spread, draws=1000)
    assert 0.93 <= held <= 0.98, held


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_so_do_those_of_contrasts_of_four_arms(spread: float) -> None:
    """Without a spread of processes, coverage is too high: the deduction for noise is bounded."""
    sides = tuple(
        (weight, by_turns(18, 6, turn))
        for weight, turn in ((1.0, 0.0), (-1.0, 0.5), (-1.0, 0.25), (1.0, 0.75))
    )
    assert 0.93 <= share_held(np.random.default_rng(8), sides, spread, draws=1000) <= 0.99


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_so_do_those_of_one_arm(spread: float) -> None:
    assert (
        0.93
        <= share_held(np.random.default_rng(9), ((1.0, by_turns(18, 6)),), spread, draws=1000)
        <= 0.97
    )


def test_a_median_is_less_sure_than_a_mean_by_the_noise_of_rounds_alone() -> None:
    draw = np.random.default_rng(3)
    values, sides = tuple(draw.normal(0, 1, 36)), ((1.0, by_turns(36, 6)),)
    mean, median = mean_over(values, sides), mean_over(values, sides, OF_MEDIANS)
    assert mean and median
    assert mean.error < median.error <= math.sqrt(math.pi / 2) * max(mean.error, 1 / 6) * 1.3
