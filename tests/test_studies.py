"""Every study: its needs can be asked for, its arms have one budget, and it claims no more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

from bench.analysis.summary import summarise
from bench.claims.questions import hash_of
from bench.claims.scales import DIGITS, SCALES, Scale, scale_of
from bench.claims.verdicts import verdicts
from bench.config import RunConfig
from bench.count.cost import cost_in_closed_form, cost_of
from bench.measure import machine
from bench.plan import plan
from bench.plugins import Study, models, studies
from bench.plugins.recipe import recipes
from bench.plugins.registry import ROOT
from bench.record import store
from bench.record.arms import AccuracyArm
from bench.record.store import load_folder
from bench.run.session import Session
from bench.run.study_queue import Queue
from bench.studies import _factorial, _near
from bench.studies.design.width_or_depth import shapes
from bench.studies.ranking import mixer_needed

from . import synthetic
from .conftest import FakeWorkers, Silent

SHAPES = {"digits": (32, 10), "cifar10": (32, 10), "imagenet": (224, 1000)}
ENTRIES = studies.entries()


def names(study: Study) -> str:
    return study.name


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("study", ENTRIES, ids=names)
def test_what_a_study_needs_can_be_asked_for(study: Study, device: str) -> None:
    """Models, recipes and policies exist, at every scale."""
    for scale in SCALES if study.trains else [None]:
        needs = study.needs(scale, device)
        assert needs
        for need in needs:
            config = RunConfig(**need.settings)
            json.dumps(need.settings)
            assert need.worth > 0
            for name in config.models:
                models.get(name)
            if config.recipe:
                recipes.get(config.recipe)
            assert config.policies == () or plan._policies(config, device)


@pytest.mark.parametrize("study", ENTRIES, ids=names)
def test_nothing_measured_is_said_with_the_command(study: Study) -> None:
    summary = summarise([synthetic.speed("vit_s16", [10.0] * 8)], of_studies=True)
    [found] = verdicts(summary, [study])
    assert found.outcome == "not measured"
    assert all(one.outcome == "not measured" for one in found.findings)
    assert f"study run {study.name}" in found.missing


@pytest.mark.parametrize("study", ENTRIES, ids=names)
def test_a_study_says_something_before_it_is_measured(study: Study) -> None:
    assert study.question.endswith("?")
    judged = verdicts(
        summarise([synthetic.speed("vit_s16", [10.0] * 8)], of_studies=True), [study]
    )[0].findings
    assert any(one.finding.primary for one in judged)
    assert len({one.finding.what for one in judged}) == len(judged)


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.key)
def test_the_families_have_equal_parameters(scale: Scale) -> None:
    size, classes = SHAPES[scale.name]
    params = {
        name: cost_of(models.get(name), image_size=size, num_classes=classes).params
        for name in scale.family.values()
    }
    reference = params[scale.family["convmixer"]]
    assert {
        name: value for name, value in params.items() if abs(value / reference - 1) > 0.02
    } == {}


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.key)
def test_half_is_half(scale: Scale) -> None:
    size, classes = SHAPES[scale.name]
    half, whole = (
        cost_of(models.get(name), image_size=size, num_classes=classes).params
        for name in (scale.half, scale.family["convmixer"])
    )
    assert half / whole == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.key)
def test_the_factorial_is_balanced_and_of_one_budget(scale: Scale) -> None:
    """Levels of any two factors meet equally often; every cell is within 2 % of the first."""
    size, classes = SHAPES[scale.name]
    for factor in range(4):
        for other in range(factor):
            met = [(cell[factor], cell[other]) for cell in _factorial.CELLS]
            assert len({met.count(pair) for pair in set(met)}) == 1
    found = {
        cell: cost_in_closed_form(
            models.get(_factorial.name_of(scale, cell)), image_size=size, num_classes=classes
        ).params
        for cell in _factorial.CELLS
    }
    assert len(found) == len({_factorial.name_of(scale, cell) for cell in _factorial.CELLS}) == 24
    first = found[_factorial.CELLS[0]]
    assert {
        cell: value / first for cell, value in found.items() if abs(value / first - 1) > 0.02
    } == {}


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.key)
def test_the_skeletons_of_other_studies_are_of_one_budget(scale: Scale) -> None:
    """Those with or without mixers are within 2 % of the factorial, those of locality of another.

    A network without positions lacks no more than the positional embedding.
    """
    size, classes = SHAPES[scale.name]

    def params(name: str) -> int:
        entry = models.get(name)
        return cost_in_closed_form(entry, image_size=size, num_classes=classes).params

    first = params(_factorial.name_of(scale, _factorial.CELLS[0]))
    for grid in mixer_needed.SKELETONS:
        for name in mixer_needed.skeletons(scale, grid).values():
            assert params(name) == pytest.approx(first, rel=0.02)
    if scale.near:
        first = params(scale.family["convmixer"])
    for mixer in _near.HIDDEN:
        assert params(_near.name_of(scale, mixer)) == pytest.approx(first, rel=0.02)


def test_a_cell_of_the_factorial_is_what_its_closed_form_says() -> None:
    for cell in _factorial.CELLS[::5]:
        entry = models.get(_factorial.name_of(DIGITS, cell))
        built, said = (
            found(entry, image_size=32, num_classes=10) for found in (cost_of, cost_in_closed_form)
        )
        assert (built.params, built.macs) == (said.params, said.macs)


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.key)
def test_wide_and_deep_have_equal_parameters(scale: Scale) -> None:
    size, classes = SHAPES[scale.name]
    wide, deep = (
        cost_in_closed_form(models.get(name), image_size=size, num_classes=classes).params
        for name in shapes(scale)
    )
    assert abs(wide / deep - 1) < 0.02


def test_a_scale_that_does_not_exist_is_refused() -> None:
    assert scale_of("imagenet:/somewhere").data == "imagenet:/somewhere"
    with pytest.raises(ValueError, match="there are digits, cifar10, imagenet"):
        scale_of("mnist")


def queue(results: Path, workers: FakeWorkers) -> Queue:
    session = Session.start(results, "cpu", Silent(), workers.open, now=workers.clock.now)
    return Queue(session, "digits", 0)


def test_the_queue_measures_what_the_records_lack_and_nothing_twice(tmp_path: Path) -> None:
    workers = FakeWorkers(lambda job, window: [0.9])
    chosen = [studies.get("kernel_accuracy"), studies.get("block_choices")]
    first = queue(tmp_path, workers)
    entries = first.entries(chosen)
    assert first.run(entries, None) == []
    trained = [
        job.arm for job in workers.opened if isinstance(job.arm, AccuracyArm) and job.arm.recipe
    ]
    assert (
        len(trained) == len({(arm.model, arm.seed) for arm in trained}) == 3 * (4 + 3)
    )  # the common ConvMixer once a seed
    assert queue(tmp_path, workers).entries(chosen) == []
    records, _ = load_folder(next(tmp_path.glob("*/records")))
    shared = next(
        one
        for one in records
        if one.arm.model == DIGITS.variant() and isinstance(one.arm, AccuracyArm)
    )
    said = {name: said for run in shared.runs for name, said in run.studies.items()}
    assert (
        said
        and said.items() <= {study.name: hash_of(study, DIGITS, "cpu") for study in chosen}.items()
    )


def test_planning_a_queue_reads_the_machine_and_its_records_once(tmp_path: Path) -> None:
    workers = FakeWorkers(lambda job, window: [0.9])
    with (
        patch.object(store, "load_folder", wraps=store.load_folder) as read,
        patch.object(machine, "describe", wraps=machine.describe) as described,
    ):
        entries = queue(tmp_path, workers).entries([studies.get("kernel_accuracy")])
    assert len(entries) > 1
    assert (read.call_count, described.call_count) == (1, 1)


def test_the_queue_ends_in_time_and_goes_on_later(tmp_path: Path) -> None:
    workers = FakeWorkers(lambda job, window: [0.9], seconds_to_open=5.0)
    chosen = [studies.get("kernel_accuracy")]
    some = queue(tmp_path, workers)
    left = some.run(some.entries(chosen), 60.0)
    done = len(workers.opened)
    assert left and 0 < done < 14
    assert workers.clock.time <= 60 + 6
    rest = queue(tmp_path, workers)
    assert rest.run(rest.entries(chosen), None) == []
    assert len(workers.opened) == 14  # twelve trainings and two baselines, each once


def test_what_brings_most_per_minute_comes_first(tmp_path: Path) -> None:
    entries = queue(tmp_path, FakeWorkers(lambda job, window: [0.9])).entries(
        [studies.get("kernel_accuracy"), studies.get("tuning")]
    )
    worth = [entry.worth / entry.seconds for entry in entries]
    assert worth == sorted(worth, reverse=True)
    assert all(entry.tasks for entry in entries)


def test_somebody_who_asks_for_what_a_study_measured_gets_it_without_measuring(
    tmp_path: Path,
) -> None:
    from bench.run.runner import Runner

    workers = FakeWorkers(lambda job, window: [0.9])
    one = queue(tmp_path, workers)
    one.run(one.entries([studies.get("block_choices")]), None)
    before = len(workers.opened)
    config = RunConfig(
        models=(DIGITS.variant(),),
        metrics=("top1",),
        data="digits",
        recipe=DIGITS.recipe,
        image_size=(32,),
        results=tmp_path,
        device="cpu",
    )
    session = Session.start(tmp_path, "cpu", Silent(), workers.open)
    assert Runner(config, session).run().measured == 0
    assert len(workers.opened) == before
    records, _ = load_folder(next(tmp_path.glob("*/records")))
    assert [row.model for row in summarise(records).accuracies if row.arm.recipe] == [
        DIGITS.variant()
    ]


def test_a_new_study_is_one_file(tmp_path: Path) -> None:
    """The one of docs/claims.md, put into a copy of the room."""
    text = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    import shutil

    for room in ("bench", "models", "plots"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "bench" / "studies" / "two_resnets.py").write_text(code, encoding="utf-8")
    found = subprocess.run(
        [sys.executable, "-m", "bench", "study", "list"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    assert "Is ResNet-18 about twice as fast?" in found.stdout
