"""The front and how sure it is, on points whose truth is known."""

from __future__ import annotations

import random

import pytest

from bench.record.values import InProcess
from bench.stats.intervals import Estimate, mean_of_seeds
from bench.stats.paired import level
from bench.stats.pareto import Candidate, front, probabilities


def candidate(cost: list[float], score: list[float]) -> Candidate:
    rounds = {
        ("r", number): InProcess(value, ("r", number // 3)) for number, value in enumerate(cost)
    }
    return Candidate(level(rounds), mean_of_seeds(score), rounds, score)


def test_the_front_is_what_nothing_beats() -> None:
    points = [(1.0, 70.0), (2.0, 80.0), (3.0, 75.0), (4.0, 90.0)]
    assert front(points, higher=False) == [0, 1, 3]
    assert front(points, higher=True) == [3]
    assert front([(1.0, 70.0), (1.0, 80.0)], higher=False) == [1]


def test_clear_points_are_surely_on_the_front_or_not() -> None:
    draw = random.Random(0)
    noise = [1 + 0.01 * draw.random() for _ in range(12)]
    points = [
        candidate([1 * factor for factor in noise], [70.0, 70.1, 69.9]),
        candidate([2 * factor for factor in noise], [60.0, 60.1, 59.9]),
        candidate([3 * factor for factor in noise], [80.0, 80.1, 79.9]),
    ]
    sure = probabilities(points, higher=False)
    assert sure is not None
    assert sure[0] == 1.0
    assert sure[1] < 0.01
    assert sure[2] > 0.99


def test_two_points_that_cannot_be_told_apart_share_it() -> None:
    alike = [
        Candidate(Estimate(1.0), Estimate(70.0, 69.0, 71.0)),
        Candidate(Estimate(1.0), Estimate(70.0, 69.0, 71.0)),
    ]
    left, right = probabilities(alike, higher=False) or []
    assert left + right == pytest.approx(1.0)
    assert 0.4 < left < 0.6


def test_drift_that_all_share_does_not_blur_the_front() -> None:
    """Rounds that are slow for all cancel: of two equally accurate points, the cheaper one wins."""
    drift = [1.0, 3.0, 1.5, 2.5, 1.2, 2.8]
    near = [
        candidate(list(drift), [70.0, 70.0]),
        candidate([1.02 * value for value in drift], [70.0, 70.0]),
    ]
    assert probabilities(near, higher=False) == [1.0, 0.0]


def test_of_one_process_nobody_knows_how_sure_a_front_is() -> None:
    rounds = [
        {("r", number): InProcess(value + number % 2, ("r", 1)) for number in range(12)}
        for value in (1.0, 20.0)
    ]
    points = [
        Candidate(level(one), Estimate(score, score - 1, score + 1), one)
        for one, score in zip(rounds, (60.0, 80.0), strict=True)
    ]
    assert points[0].cost.low is None
    assert probabilities(points, higher=False) is None
