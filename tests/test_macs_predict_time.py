"""The study of multiply-adds and time, on records whose truth is known, and over its own models."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from bench.analysis.summary import summarise
from bench.claims.evidence import nothing_measured
from bench.claims.rules import Judged, Verdict
from bench.claims.verdicts import verdicts
from bench.count.cost import cost_of
from bench.plugins import models, studies
from bench.record.store import Record
from bench.report.tables.verdicts import details
from bench.studies.speed.macs_predict_time import AGAINST, LAYERS, MODELS

from . import synthetic

STUDY = studies.get("macs_predict_time")
DRAWS, ROUNDS = 100, 12
NOISE, BETWEEN_PROCESSES = 0.05, 0.03
"""Standard deviations of the logarithms of rounds and of processes."""


@dataclass(frozen=True)
class Truth:
    """What is planted: the population's tau, and the rate of depthwise over pointwise layers."""

    tau: float
    rate: float
    outcome: str


PRESENT = Truth(0.5, 0.2, "supported")
ABSENT = Truth(0.95, 0.9, "contradicted")


def records(draw: random.Random, truth: Truth, names: tuple[str, ...] = MODELS) -> list[Record]:
    """Architectures of log-normal multiply-adds and latencies, and layers of one rate each."""
    found = synthetic.sound_pair()
    pearson = math.sin(math.pi * truth.tau / 2)
    for name in names:
        cost = draw.gauss(0, 1)
        slow = pearson * cost + math.sqrt(1 - pearson**2) * draw.gauss(0, 1)
        found.append(synthetic.count(name, 20e6, round(1.5e9 * math.exp(cost))))
        values = seen(draw, 0.05 * math.exp(slow), ROUNDS)
        found.append(synthetic.speed(name, values, metric="latency"))
    for name in LAYERS.values():
        found.append(timed_layers(draw, name, truth.rate))
    return found


def seen(draw: random.Random, middle: float, rounds: int) -> list[float]:
    """Values of rounds, two of them in each process."""
    values = []
    for number in range(rounds):
        if number % synthetic.LIFE == 0:
            process = draw.gauss(0, BETWEEN_PROCESSES)
        values.append(middle * math.exp(process + draw.gauss(0, NOISE)))
    return values


def timed_layers(draw: random.Random, name: str, rate: float) -> Record:
    """A depthwise layer of 1 M multiply-adds and a pointwise layer of 100 M, at 50 GMAC/s."""
    depthwise = seen(draw, 1e6 / (rate * 50e9), 6)
    pointwise = seen(draw, 100e6 / 50e9, 6)
    told = []
    for fine, coarse in zip(depthwise, pointwise, strict=True):
        layers = [
            ["a", "depthwise convolution", fine / 2, 0.5e6],
            ["b", "depthwise convolution", fine / 2, 0.5e6],
            ["c", "pointwise convolution", coarse, 100e6],
            ["d", "activation", 1e-4, 0],
        ]
        told.append({"layers": layers})
    return synthetic.speed(name, [0.01] * 6, metric="layer_time", details=told)


def verdict(found: list[Record]) -> Verdict:
    [answer] = verdicts(summarise(found, of_studies=True), [STUDY])
    return answer


def deciding(answer: Verdict) -> Iterator[Judged]:
    return (judged for judged in answer.findings if judged.finding.primary)


@pytest.mark.parametrize("truth", [PRESENT, ABSENT], ids=["present", "absent"])
def test_what_was_planted_is_found(truth: Truth) -> None:
    """As a whole and in every effect that decides."""
    declared = STUDY.judge(nothing_measured("cpu"), None)
    right, each = 0, {finding.what: 0 for finding in declared if finding.primary}
    for seed in range(DRAWS):
        answer = verdict(records(random.Random(seed), truth))
        right += answer.outcome == truth.outcome
        for judged in deciding(answer):
            each[judged.finding.what] += judged.outcome == truth.outcome
    print(f"{truth}: {right} of {DRAWS} draws, seeds 0 to {DRAWS - 1}; {each}")
    assert min(right, *each.values()) >= 90


def test_the_largest_factor_is_not_the_luckiest() -> None:
    """All latencies are alike: chosen in other rounds, the largest factor comes out as nothing."""
    draw = random.Random(0)
    found = synthetic.sound_pair()
    for name in MODELS:
        found.append(synthetic.count(name, 20e6, 1e9))
        values = [0.05 * math.exp(draw.gauss(0, 0.2)) for _ in range(32)]
        found.append(synthetic.speed(name, values, metric="latency"))
    [judged] = [one for one in verdict(found).findings if one.finding.what.startswith("largest")]
    shown = judged.finding.shown
    assert shown is not None and shown.holds(1.0)
    assert f"of {math.comb(len(MODELS), 2)} pairs" in judged.finding.note


def test_what_was_not_measured_is_left_out_and_named() -> None:
    """Twenty architectures are enough, fewer are not."""
    for number, measured in ((20, True), (19, False)):
        names = (*(name for name in MODELS if name != AGAINST),)[: number - 1]
        answer = verdict(records(random.Random(0), PRESENT, (AGAINST, *names)))
        ranking = answer.findings[0]
        assert (ranking.outcome != "not measured") is measured
        assert ("not measured: " in ranking.finding.note) is measured
        assert answer.outcome != "supported" or measured


def test_the_table_says_what_the_number_means() -> None:
    answer = verdict(records(random.Random(1), PRESENT))
    [table] = details([answer])
    ranking = answer.findings[0].finding
    assert ranking.effect is not None and ranking.effect.n == len(MODELS)
    assert any("fewer multiply-adds was faster in" in note for note in table.notes)
    assert any("GMAC/s in convmixer_512_4_k3_p8" in note for note in table.notes)
    assert table.rows[0][1].endswith("rank correlation")
    assert table.rows[0][2] == "below 0.80"
    assert table.rows[0][5].startswith("40 architectures")


def test_layers_decide_on_cpus_only() -> None:
    def deciding_on(kind: str) -> int:
        return sum(finding.primary for finding in STUDY.judge(nothing_measured(kind), None))

    assert (deciding_on("cpu"), deciding_on("cuda")) == (3, 1)


def test_rates_of_layers_are_those_of_their_round_and_process() -> None:
    summary = summarise([timed_layers(random.Random(0), "it", 0.2)], of_studies=True)
    [row] = summary.rows
    rates = row.layer_rates("depthwise convolution")
    assert {at: rate.process for at, rate in rates.items()} == {
        ("r1", number): ("r1", 1 + (number - 1) // synthetic.LIFE) for number in range(1, 7)
    }
    assert all(rate == pytest.approx(10e9, rel=0.3) for rate in rates.values())
    assert row.layer_rates("convolution") == {}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", MODELS)
def test_every_architecture_is_counted_at_224_pixels(name: str) -> None:
    """By both counters alike, with nothing left out: 0.1 to 6 G multiply-adds."""
    cost = cost_of(models.get(name), image_size=224, num_classes=1000)
    assert 0.1e9 < cost.macs < 6e9
