"""Verdicts: the rules on hand-made effects, and whole studies on records of known truth."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from math import inf, log
from typing import get_args

import numpy as np
import pytest

from bench.analysis.summary import summarise
from bench.claims.questions import hash_of
from bench.claims.rules import Finding, Outcome, judge, level, overall, resolvable
from bench.claims.scales import CIFAR10
from bench.claims.verdicts import verdicts
from bench.plugins import studies
from bench.record.store import Record
from bench.record.values import InProcess
from bench.report.palette import OUTCOMES
from bench.report.tables.verdicts import details, overview, region
from bench.stats.intervals import Effect, contrast, difference, mean_effect
from bench.stats.paired import effect_of
from bench.studies import _factorial

from . import synthetic
from .by_hand.intervals import decided_at

DRAWS = 100


def finding(
    value: float,
    error: float,
    where: tuple[float, float],
    *,
    unit: str = "points",
    primary: bool = True,
) -> Finding:
    return Finding(
        what="w", unit=unit, region=where, effect=Effect(value, error, 20, 21), primary=primary
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "error", "where", "outcome"),
    [
        (3.0, 0.1, (1.0, inf), "supported"),
        (0.0, 0.1, (1.0, inf), "contradicted"),
        (1.1, 0.1, (1.0, inf), "inconclusive"),
        (0.0, 0.1, (-1.0, 1.0), "supported"),
        (2.0, 0.1, (-1.0, 1.0), "contradicted"),
        (0.0, 2.0, (-1.0, 1.0), "inconclusive"),
        (-2.0, 0.1, (-inf, -0.5), "supported"),
        (0.0, 0.1, (-inf, -0.5), "contradicted"),
    ],
)
def test_where_the_interval_lies_decides(
    value: float, error: float, where: tuple[float, float], outcome: Outcome
) -> None:
    [found] = judge([finding(value, error, where)])
    assert found.outcome == outcome
    assert (found.needed is not None) == (
        (outcome == "inconclusive" and value != 0) or (value, error) == (0.0, 2.0)
    )


@pytest.mark.parametrize(
    ("value", "primary", "outcome"),
    [(0.003, True, "contradicted"), (2.5, True, "supported"), (0.003, False, "exact")],
)
def test_a_number_that_was_counted_is_in_the_region_or_not(
    value: float, primary: bool, outcome: Outcome
) -> None:
    """It decided nothing, and a study of nothing else was called supported whatever was counted."""
    counted = Finding(
        what="w",
        unit="×",
        region=(2.0, inf),
        effect=None,
        value=value,
        exact=True,
        primary=primary,
    )
    [found] = judge([counted])
    assert found.outcome == outcome


def test_a_ratio_is_judged_by_its_logarithm() -> None:
    [found] = judge([finding(log(4.0), 0.02, (3.2, 4.8), unit="×")])
    assert found.outcome == "supported"
    shown = found.finding.shown
    assert shown is not None and shown.value == pytest.approx(4.0) and shown.holds(4.0)
    assert region(found.finding) == "3.20 to 4.80"
    assert region(finding(0, 1, (0.0, 0.9), unit="×")) == "below 0.90"


def test_many_comparisons_have_to_be_surer() -> None:
    """An interval that just clears its bound decides alone and does not among twenty."""
    alone = finding(1.25, 0.1, (1.0, inf))
    assert judge([alone])[0].outcome == "supported"
    assert (
        judge([alone] + [finding(1.0, 0.1, (1.0, inf)) for _ in range(19)])[0].outcome
        == "inconclusive"
    )


def test_a_study_is_the_conjunction_of_what_decides() -> None:
    yes, no, open_one = (
        finding(3, 0.1, (1, inf)),
        finding(0, 0.1, (1, inf)),
        finding(1, 0.5, (1, inf)),
    )
    missing = Finding(what="w", unit="points", region=(1, inf), effect=None)
    beside = finding(0, 0.1, (1, inf), primary=False)
    assert overall(judge([yes, yes, beside])) == "supported"
    assert overall(judge([yes, no])) == "contradicted"
    assert overall(judge([yes, open_one])) == "inconclusive"
    assert overall(judge([yes, missing])) == "not measured"
    assert overall(judge([missing, beside])) == "not measured"


def test_the_number_that_would_settle_it_settles_it() -> None:
    draw = random.Random(3)
    left, right = ([draw.gauss(mean, 1.0) for _ in range(4)] for mean in (1.0, 0.0))
    effect = difference(left, right)
    assert effect is not None
    [found] = judge([Finding(what="w", unit="points", region=(0.2, inf), effect=effect)])
    assert found.outcome == "inconclusive" and found.needed is not None
    settled = Effect(
        effect.value,
        effect.error * (effect.n / found.needed) ** 0.5,
        effect.freedom * found.needed / effect.n,
        found.needed,
    )
    assert (
        judge([Finding(what="w", unit="points", region=(0.2, inf), effect=settled)])[0].outcome
        != "inconclusive"
    )


def test_a_contrast_of_two_groups_is_welchs_test() -> None:
    from scipy.stats import ttest_ind

    left, right = [91.2, 92.8, 93.1, 90.4], [89.0, 89.9, 91.5]
    effect = difference(left, right)
    found = ttest_ind(left, right, equal_var=False)
    assert effect is not None
    assert effect.p(0.0) == pytest.approx(found.pvalue)
    interval = found.confidence_interval()
    assert (effect.estimate.low, effect.estimate.high) == pytest.approx(
        (interval.low, interval.high)
    )
    assert contrast([(1.0, [1.0])]) is None


# Whole studies on records whose truth is known


def patch_speed(draw: random.Random, truth: str) -> list[Record]:
    ratio, spread = {"present": (4.0, 0.03), "absent": (2.0, 0.03), "noisy": (4.0, 0.9)}[truth]
    pairs = [
        ("convmixer_1536_20", "convmixer_1536_20_k9_p14"),
        ("convmixer_768_32", "convmixer_768_32_k7_p14_relu"),
    ]
    drift = synthetic.noisy(draw, 1.0, 0.3, 16)  # what hits both sides of a round alike
    return synthetic.sound_pair() + [
        synthetic.speed(
            name,
            [
                value * along
                for value, along in zip(
                    synthetic.noisy(draw, speed, spread, 16), drift, strict=True
                )
            ],
        )
        for fine, coarse in pairs
        for name, speed in ((fine, 1.0), (coarse, ratio))
    ]


def kernel_accuracy(draw: random.Random, truth: str) -> list[Record]:
    gain, spread = {"present": (2.3, 0.2), "absent": (0.0, 0.15), "noisy": (0.5, 2.0)}[truth]
    return [
        synthetic.training(
            CIFAR10.variant(kernel=kernel),
            seed,
            92 + gain * (kernel - 3) / 6 + draw.gauss(0, spread),
            data="cifar10",
            recipe=CIFAR10.recipe,
        )
        for kernel in (3, 5, 7, 9)
        for seed in range(5)
    ]


def patches_or_attention(draw: random.Random, truth: str) -> list[Record]:
    """Present: the mixer makes no difference. Absent: attention is three points better."""
    gain, spread = {"present": (0.0, 0.4), "absent": (3.0, 0.4), "noisy": (0.0, 9.0)}[truth]
    return [
        synthetic.training(
            _factorial.name_of(CIFAR10, cell),
            seed,
            80 + gain * (cell[0] == "attention") + draw.gauss(0, spread),
            data="cifar10",
            recipe=CIFAR10.recipe,
            family="skeleton",
        )
        for cell in _factorial.CELLS
        for seed in range(3)
    ]


RIGHT = {"present": "supported", "absent": "contradicted", "noisy": "inconclusive"}


@pytest.mark.parametrize("truth", list(RIGHT))
@pytest.mark.parametrize("records", [patch_speed, kernel_accuracy, patches_or_attention])
def test_the_verdict_is_right(
    records: Callable[[random.Random, str], list[Record]], truth: str
) -> None:
    study, right = studies.get(records.__name__), 0
    for number in range(DRAWS):
        found = verdicts(summarise(records(random.Random(number), truth), of_studies=True), [study])
        right += found[0].outcome == RIGHT[truth]
    assert right >= 90


def test_digits_decide_nothing() -> None:
    """Whatever came out, and in every table."""
    from bench.claims.scales import DIGITS

    records = [
        synthetic.training(
            DIGITS.variant(kernel=kernel),
            seed,
            90 + kernel + 0.1 * seed,
            data="digits",
            recipe=DIGITS.recipe,
        )
        for kernel in (3, 5, 7, 9)
        for seed in range(3)
    ]
    found = verdicts(summarise(records, of_studies=True), [studies.get("kernel_accuracy")])
    assert [one.outcome for one in found] == ["pipeline check"]
    shown = [
        cell for table in (*details(found), *overview(found)) for row in table.rows for cell in row
    ]
    assert "supported" not in shown and "(supported)" not in shown


def test_a_study_changed_after_its_data_is_marked() -> None:
    study = studies.get("patch_speed")
    for said, changed in ((hash_of(study, None, "cpu"), False), ("0123456789ab", True)):
        draw = random.Random(1)
        names = [
            name
            for pair in (("convmixer_1536_20", 1.0), ("convmixer_1536_20_k9_p14", 4.0))
            for name in [pair]
        ]
        records = [
            synthetic.speed(name, synthetic.noisy(draw, speed, 0.01, 8), studies={study.name: said})
            for name, speed in names
        ]
        [found] = verdicts(summarise(records, of_studies=True), [study])
        assert found.changed is changed
        [table] = overview([found])
        assert ("*" in table.rows[0][3]) is changed


def test_what_only_studies_wanted_stays_out_of_other_tables() -> None:
    records = [
        synthetic.speed("vit_s16", [10.0] * 8),
        synthetic.speed("convmixer_1536_20_k9_p14", [4.0] * 8, studies={"patch_speed": "0" * 12}),
    ]
    assert [row.model for row in summarise(records).rows] == ["vit_s16"]
    assert len(summarise(records, of_studies=True).rows) == 2


def test_only_what_decides_is_corrected_for_its_number() -> None:
    """Twenty effects stand beside one: it is decided as if it stood alone."""
    deciding = Finding(
        what="it", unit="points", region=(0.0, math.inf), effect=Effect(3.0, 1.0, 20, 22)
    )
    beside = [replace(deciding, what=str(number), primary=False) for number in range(20)]
    assert judge([deciding])[0] == judge([deciding, *beside])[0]
    assert judge([deciding])[0].outcome == "supported"
    several = judge([replace(deciding, what=str(number)) for number in range(20)])
    assert {one.outcome for one in several} == {"inconclusive"}


def test_a_number_that_was_counted_is_exact() -> None:
    counted = Finding(
        what="macs", unit="×", region=(0.0, 0.9), effect=None, value=0.5, exact=True, primary=False
    )
    measured = replace(counted, exact=False)
    assert [one.outcome for one in judge([counted, measured])] == ["exact", "inconclusive"]


def test_all_looks_together_are_wrong_in_six_of_a_hundred() -> None:
    assert sum(level(runs) for runs in range(1, 2000)) == pytest.approx(0.06, abs=1e-4)
    assert level(1) == 0.05
    found = Finding(
        what="it", unit="points", region=(0.0, math.inf), effect=Effect(3.0, 1.0, 20, 22)
    )
    again = replace(found, effect=Effect(3.0, 1.0, 20, 22, runs=2))
    assert [one.outcome for one in judge([again])] == ["inconclusive"]  # p is 0.007


@pytest.mark.parametrize("spread", [0.02, 0.05])
def test_at_the_regions_end_little_is_decided(spread: float) -> None:
    """Rounds vary by 2 %, three processes a side; a study is measured up to four times."""
    draw = np.random.default_rng(1)
    looks = [decided_at(draw, spread, 4) for _ in range(300)]
    assert looks.count(1) / 300 <= 0.07
    assert sum(look is not None for look in looks) / 300 <= 0.085  # 0.055 and 0.066 in many draws


def test_an_effect_knows_of_how_many_runs_it_is() -> None:
    values = {
        (f"r{run}", at): InProcess(1.0 + 0.01 * (at % 3), (f"r{run}", at // 3))
        for run in range(2)
        for at in range(6)
    }
    found = effect_of([(1.0, values), (-1.0, dict(list(values.items())[:12]))])
    assert found is not None and found.runs == 2


def test_power_is_how_far_from_its_end_an_effect_is_decided_in_eight_of_ten_draws() -> None:
    draw, noise, n = np.random.default_rng(2), 1.0, 12
    far = resolvable(
        judge(
            [
                Finding(
                    what="it",
                    unit="points",
                    region=(0.0, math.inf),
                    effect=Effect(0.0, noise / math.sqrt(n), n - 1, n),
                )
            ]
        )
    )
    found = 0
    for _ in range(400):
        effect = mean_effect(list(draw.normal(far["it"], noise, n)))
        found += (
            judge([Finding(what="it", unit="points", region=(0.0, math.inf), effect=effect)])[
                0
            ].outcome
            == "supported"
        )
    assert 0.75 <= found / 400 <= 0.87


def test_every_outcome_has_a_colour() -> None:
    assert set(OUTCOMES) == set(get_args(Outcome))
