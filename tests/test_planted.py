"""Every study that trains finds what was planted, whatever it is called and whoever adds it."""

from __future__ import annotations

import random

import numpy as np
import pytest

from bench.analysis.summary import summarise
from bench.claims.evidence import Evidence
from bench.claims.rules import Finding, judge, overall
from bench.claims.scales import CIFAR10_SMALL
from bench.plugins import Study, studies
from bench.record.store import Record

from . import synthetic
from .planted import LEVEL, POINTS, Cell, Design, drawn, findings

DRAWS, SEEDS, SCALE = 100, 5, CIFAR10_SMALL
TRAINING = [study for study in studies.entries() if study.trains]


@pytest.fixture(params=TRAINING, ids=lambda study: study.name)
def design(request: pytest.FixtureRequest) -> Design:
    study: Study = request.param
    return Design.of(study, SCALE)


def test_every_deciding_effect_depends_on_what_can_be_planted(design: Design) -> None:
    assert design.unplanted() == []


@pytest.mark.parametrize("inside", [True, False], ids=["present", "absent"])
def test_what_was_planted_is_found(design: Design, inside: bool) -> None:
    """With five seeds, or with as many more as regions take that are narrower than five tell."""
    seeds = design.seeds_for(SEEDS) if inside else SEEDS
    means = design.means(inside=inside, seeds=seeds)
    right = 0
    for seed in range(DRAWS):
        values = drawn(means, seeds, random.Random(seed))
        outcome = overall(judge(findings(design.study, design.scale, values)))
        right += outcome == ("supported" if inside else "contradicted")
    print(f"{design.study.name}: {right} of draws 0 to {DRAWS - 1}, {seeds} seeds each")
    assert right >= 90


def test_at_the_ends_of_its_regions_a_study_decides_little(design: Design) -> None:
    """So that finding what was planted is not finding it always."""
    ends = [low if np.isfinite(low) else high for low, high in design.bounds]
    means = design.means_for(ends)
    decided = 0
    for seed in range(DRAWS):
        values = drawn(means, SEEDS, random.Random(seed))
        outcome = overall(judge(findings(design.study, design.scale, values)))
        decided += outcome in ("supported", "contradicted")
    print(f"{design.study.name}: {decided} of draws 0 to {DRAWS - 1} decided")
    assert decided <= 15


def test_records_say_what_was_planted(design: Design) -> None:
    """The same values as records of training runs give the same effects."""
    values = drawn(design.means(inside=True, seeds=SEEDS), SEEDS, random.Random(0))
    rounded = {}
    for cell, offsets in values.items():
        rounded[cell] = [round(offset, 2) for offset in offsets] if cell[0] == POINTS else offsets
    planted = findings(design.study, design.scale, rounded)
    records = []
    for cell, offsets in rounded.items():
        if cell[0] == POINTS:
            records += [training(cell, seed, LEVEL + one) for seed, one in enumerate(offsets)]
    if not records:
        pytest.skip("it asks for no top-1")
    evidence = Evidence(summarise(records, of_studies=True))
    recorded = list(design.study.judge(evidence, design.scale))
    for left, right in zip(planted, recorded, strict=True):
        if left.unit == "points":
            assert figures(right) == pytest.approx(figures(left), abs=1e-6)


def figures(finding: Finding) -> tuple[float, float]:
    assert finding.effect is not None, finding.what
    return finding.effect.value, finding.effect.error


def training(cell: Cell, seed: int, points: float) -> Record:
    """A training run that ended with these points."""
    _, model, data, recipe, tuning, equalise = cell
    return synthetic.training(
        model, seed, points, data=data, recipe=recipe, tuning=tuning, equalise=equalise
    )
