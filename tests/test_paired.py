"""Ratios of two speeds: paired by round, and by process where these differ; coverage on draws whose truth is known."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from bench import record
from bench.paired import p_value, paired_ratio
from bench.record import InProcess
from bench.stats import effect_of_ratio

from .synthetic import speed


def test_ratios_are_paired_by_round_so_common_drift_drops_out() -> None:
    rng = np.random.default_rng(2)
    drift = np.exp(rng.normal(0, 0.5, size=12))
    left = {("r", n): float(2.0 * drift[n]) for n in range(12)}
    right = {("r", n): float(drift[n]) for n in range(12)}
    found = paired_ratio(left, right)
    assert found is not None
    assert found.value == pytest.approx(2.0)
    assert found.low == pytest.approx(2.0)
    assert found.high == pytest.approx(2.0)


def test_rounds_without_a_partner_are_no_pair() -> None:
    assert paired_ratio({("a", 1): 1.0}, {("b", 1): 1.0}) is None
    found = paired_ratio({("a", 1): 4.0, ("a", 2): 100.0}, {("a", 1): 2.0})
    assert found is not None
    assert (found.value, found.n) == (pytest.approx(2.0), 1)


def test_a_t_test_of_the_rounds() -> None:
    def of(logs: list[float]) -> float | None:
        return p_value({at: math.exp(log) for at, log in enumerate(logs)}, dict.fromkeys(range(len(logs)), 1.0))

    assert of([0.1] * 5) is None
    assert of([0.0] * 6) == 1.0
    assert of([0.1] * 6) == 0.0
    p = of([0.1, -0.1, 0.2, -0.2, 0.05, -0.04])
    assert p is not None
    assert p > 0.5


Rounds = dict[int, float]


def drawn(rng: np.random.Generator, *, rounds: int, processes: tuple[int, int], differ: float, noise: float) -> tuple[Rounds, Rounds]:
    """Two arms that are equally fast, renewed by turns; the logarithms of their processes' speeds spread by `differ`."""
    sides: list[Rounds] = []
    for number, many in enumerate(processes):
        effects = rng.normal(0, differ, many)
        places = [min(many - 1, (at + number * rounds // (2 * many)) * many // rounds) for at in range(rounds)]
        sides.append(
            {at: InProcess(math.exp(effects[place] + rng.normal(0, noise / math.sqrt(2))), ("r", place)) for at, place in enumerate(places)}
        )
    return sides[0], sides[1]


@pytest.mark.parametrize(
    ("rounds", "processes", "differ", "noise", "least"),
    [(12, (2, 2), 0.0, 0.06, 0.92), (28, (4, 4), 0.0, 0.06, 0.92), (28, (4, 4), 0.06, 0.06, 0.88), (28, (7, 7), 0.06, 0.03, 0.88)],
)
def test_the_interval_holds_the_truth_though_processes_differ(
    rounds: int, processes: tuple[int, int], differ: float, noise: float, least: float
) -> None:
    rng = np.random.default_rng(3)
    held = plain = alike = 0
    for _ in range(300):
        left, right = drawn(rng, rounds=rounds, processes=processes, differ=differ, noise=noise)
        found, p = paired_ratio(left, right), p_value(left, right)
        assert found is not None and p is not None
        held += found.holds(1.0)
        alike += p >= 0.05
        without = paired_ratio({at: float(value) for at, value in left.items()}, right)
        assert without is not None
        plain += without.holds(1.0)
    assert least <= held / 300 <= 0.995
    assert least <= alike / 300
    if differ:
        assert plain / 300 < 0.75  # what rounds alone would make of it


def test_runs_with_a_process_each_count_as_runs() -> None:
    rng = np.random.default_rng(6)
    held = 0
    for _ in range(300):
        left, right = {}, {}
        for run in ("a", "b", "c", "d"):
            apart = rng.normal(0, 0.08)
            for number in range(9):
                left[run, number] = InProcess(math.exp(apart + rng.normal(0, 0.03)), (run, 1))
                right[run, number] = InProcess(1.0, (run, 1))
        found = paired_ratio(left, right)
        assert found is not None
        held += found.holds(1.0)
    assert 0.92 <= held / 300 <= 0.99


def test_one_process_on_each_side_is_one_of_rounds() -> None:
    left, right = drawn(np.random.default_rng(4), rounds=20, processes=(1, 1), differ=0.1, noise=0.05)
    bare = [{at: float(value) for at, value in side.items()} for side in (left, right)]
    assert paired_ratio(left, right) == paired_ratio(*bare)
    assert p_value(left, right) == p_value(*bare)


def test_the_p_value_of_an_interval_by_processes_is_that_of_its_ends() -> None:
    left, right = drawn(np.random.default_rng(5), rounds=28, processes=(3, 3), differ=0.1, noise=0.02)
    found = paired_ratio(left, right)
    assert found is not None and found.freedom == 4 and found.low is not None
    effect = effect_of_ratio(found)
    assert effect is not None
    assert effect.p(math.log(found.low)) == pytest.approx(0.05)
    assert effect.p(0.0) == pytest.approx(p_value(left, right))


def test_rounds_of_equal_ratio_to_the_last_digit_have_processes_that_do_not_differ() -> None:
    left = {at: InProcess(0.1 * at + 0.1, ("r", at // 4)) for at in range(12)}
    right = {at: InProcess(0.3 * at + 0.3, ("r", at // 3)) for at in range(12)}
    found = paired_ratio(left, right)
    assert found is not None and found.freedom is None
    assert found.value == pytest.approx(1 / 3)


def test_values_of_a_record_know_their_processes() -> None:
    found = speed("vit_s16", [1.0, 2.0, 3.0])
    found.rounds = [msgspec.structs.replace(line, worker=worker) for line, worker in zip(found.rounds, (1, 1, 2), strict=True)]
    values = record.fair_per_round(found, "throughput").values()
    assert [getattr(value, "process", None) for value in values] == [("r1", 1), ("r1", 1), ("r1", 2)]
