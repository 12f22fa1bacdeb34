"""Ratios of two speeds, paired by round: intervals and false alarms on draws of known truth."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from bench.record import values as record_values
from bench.record.values import InProcess
from bench.stats.intervals import effect_of_ratio, holm
from bench.stats.paired import effect_of, level, p_value, paired_ratio

from .drawn import by_turns
from .synthetic import speed


def test_ratios_are_paired_by_round_so_common_drift_drops_out() -> None:
    rng = np.random.default_rng(2)
    drift = np.exp(rng.normal(0, 0.5, size=12))
    left = {("r", n): InProcess(2.0 * drift[n], ("r", n // 4)) for n in range(12)}
    right = {("r", n): InProcess(drift[n], ("r", n // 3)) for n in range(12)}
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


Rounds = dict[tuple[str, int], float]


def drawn(
    draw: np.random.Generator,
    *,
    rounds: int,
    life: int,
    differ: float,
    noise: float,
    turn: float = 0.5,
) -> tuple[Rounds, Rounds]:
    """Draw two equally fast models, renewed in turns, with a spread `differ` of log speeds."""
    sides: list[Rounds] = []
    for places in (by_turns(rounds, life), by_turns(rounds, life, turn)):
        effects = draw.normal(0, differ, rounds + 1)
        values = [
            math.exp(effects[place] + draw.normal(0, noise / math.sqrt(2))) for place in places
        ]
        sides.append(
            {
                ("r", at): InProcess(value, ("r", place))
                for at, (value, place) in enumerate(zip(values, places, strict=True))
            }
        )
    return sides[0], sides[1]


@pytest.mark.parametrize("differ", [0.0, 0.03, 0.06])
def test_eight_equal_arms_are_told_apart_no_more_often_than_they_should(differ: float) -> None:
    """Seven ratios of three processes a side, by Holm: false alarms in at most 6 % of tables."""
    draw = np.random.default_rng(3)
    alarms = 0
    for _ in range(300):
        noise = draw.normal(0, 0.06, 18)
        arms: list[Rounds] = []
        for number in range(8):
            effects = draw.normal(0, differ, 20)
            places = by_turns(18, 6, (0.0, 0.5, 0.25, 0.75)[number % 4])
            own = draw.normal(0, 0.06 / math.sqrt(2), 18)
            arms.append(
                {
                    ("r", at): InProcess(
                        math.exp(noise[at] + effects[place] + own[at]), ("r", place)
                    )
                    for at, place in enumerate(places)
                }
            )
        found = {number: p_value(arm, arms[0]) for number, arm in enumerate(arms) if number}
        assert all(p is not None for p in found.values())
        alarms += (
            min(holm({number: p for number, p in found.items() if p is not None}).values()) < 0.05
        )
    assert alarms / 300 <= 0.06


def test_one_process_on_a_side_has_a_ratio_without_interval_and_p() -> None:
    left, right = drawn(
        np.random.default_rng(4), rounds=20, life=20, differ=0.1, noise=0.05, turn=0.0
    )
    several = {at: InProcess(value, ("r", at[1] // 5)) for at, value in left.items()}
    for one in (left, several):
        found = paired_ratio(one, right)
        assert found is not None and found.low is None and found.n == 20
        assert p_value(one, right) is None


def test_rounds_whose_processes_are_not_known_have_none_either() -> None:
    found = paired_ratio({at: 2.0 + at for at in range(12)}, dict.fromkeys(range(12), 1.0))
    assert found is not None and found.low is None


def test_runs_with_a_process_each_are_processes() -> None:
    draw = np.random.default_rng(6)
    held = 0
    for _ in range(500):
        left, right = {}, {}
        for run in ("a", "b", "c", "d"):
            apart = draw.normal(0, 0.08)
            for number in range(9):
                left[run, number] = InProcess(math.exp(apart + draw.normal(0, 0.03)), (run, 1))
                right[run, number] = InProcess(1.0, (run, 1))
        found = paired_ratio(left, right)
        assert found is not None and found.freedom == pytest.approx(3) and found.processes == 4
        held += found.holds(1.0)
    assert 0.93 <= held / 500 <= 0.97


def test_interval_and_p_value_are_one_test() -> None:
    left, right = drawn(np.random.default_rng(5), rounds=28, life=7, differ=0.1, noise=0.02)
    found = paired_ratio(left, right)
    assert found is not None and found.low is not None
    effect = effect_of_ratio(found)
    assert effect is not None
    assert effect.p(math.log(found.low)) == pytest.approx(0.05)
    assert effect.p(0.0) == pytest.approx(p_value(left, right))


def test_a_contrast_of_one_pair_is_its_ratio() -> None:
    left, right = drawn(np.random.default_rng(7), rounds=18, life=6, differ=0.1, noise=0.02)
    ratio, effect = paired_ratio(left, right), effect_of([(1.0, left), (-1.0, right)])
    assert ratio is not None and effect is not None
    assert effect.as_ratio == ratio


def test_the_level_of_an_arm_is_the_median_of_its_rounds() -> None:
    left, _ = drawn(np.random.default_rng(8), rounds=18, life=6, differ=0.1, noise=0.02)
    found = level(left)
    assert found.value == pytest.approx(np.median(list(left.values())))
    assert found.low is not None and found.high is not None and found.low < found.value < found.high
    assert found.freedom == pytest.approx(2)
    assert level(dict(list(left.items())[:6])).low is None  # one process


def test_values_of_a_record_know_their_processes() -> None:
    found = speed("vit_s16", [1.0, 2.0, 3.0])
    found.rounds = [
        msgspec.structs.replace(line, worker=worker)
        for line, worker in zip(found.rounds, (1, 1, 2), strict=True)
    ]
    values = record_values.fair_per_round(found, "throughput").values()
    assert [getattr(value, "process", None) for value in values] == [
        ("r1", 1),
        ("r1", 1),
        ("r1", 2),
    ]
