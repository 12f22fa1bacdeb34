"""The study of engines and order, on records whose truth is known."""

from __future__ import annotations

import random

import pytest

from bench.analysis.summary import summarise
from bench.claims.verdicts import verdicts
from bench.plugins import studies
from bench.record.store import Record
from bench.studies.speed import engine_reverses
from bench.studies.speed.engine_reverses import ENGINES, MODELS

from . import synthetic

STUDY = studies.get("engine_reverses")
PLAIN = dict(zip(MODELS, (4.0, 2.0, 16.0, 8.0, 15.0), strict=True))
ORDERED = dict(zip(MODELS, (5.0, 3.0, 30.0, 9.0, 20.0), strict=True))
REVERSED = ORDERED | {"resnet50": 40.0}
TIED = PLAIN | {"resnet50": 16.0}


def verdict(
    plain: dict[str, float], engine: dict[str, float], engines: tuple[str, ...] = ENGINES["cpu"]
) -> tuple[str, dict[str, str]]:
    """The outcome, and that of each finding, where every engine has the same speeds."""
    draw = random.Random(0)
    records: list[Record] = synthetic.sound_pair()
    for policy in ("fp32", *engines):
        for model, middle in (plain if policy == "fp32" else engine).items():
            values = synthetic.noisy(draw, middle, 0.005, 16)
            records.append(synthetic.speed(model, values, policy=policy))
    (found,) = verdicts(summarise(records, of_studies=True), [STUDY])
    return found.outcome, {one.finding.what: one.outcome for one in found.findings}


@pytest.mark.parametrize(
    ("plain", "engine", "outcome"),
    [
        (PLAIN, ORDERED, "supported"),
        (PLAIN, REVERSED, "contradicted"),
        (TIED, REVERSED, "inconclusive"),
    ],
    ids=["kept", "reversed", "tied"],
)
def test_an_order_that_is_kept_is_told_from_one_that_is_not(
    plain: dict[str, float], engine: dict[str, float], outcome: str
) -> None:
    said, findings = verdict(plain, engine)
    assert said == outcome
    changed = {what for what, each in findings.items() if each == "contradicted"}
    assert all(what.startswith("vit_s16 and resnet50: ") for what in changed)
    assert bool(changed) == (outcome == "contradicted")


def test_an_engine_that_was_not_measured_leaves_the_question_open() -> None:
    assert verdict(PLAIN, ORDERED, engines=("compile_frozen",))[0] == "not measured"


def test_engines_that_are_not_installed_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue of studies then measures the others, and the verdict says what is missing."""
    monkeypatch.setattr(engine_reverses, "find_spec", lambda name: None)
    (need,) = STUDY.needs(None, "cpu")
    assert need.settings["policies"] == ("fp32", "compile_frozen")
    monkeypatch.setattr(engine_reverses, "find_spec", lambda name: object())
    (need,) = STUDY.needs(None, "cpu")
    assert need.settings["policies"] == ("fp32", *ENGINES["cpu"])
