"""A study's identity is its question: what changes the hash, and which verdicts carry a star."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.machines import read_all
from bench.analysis.summary import summarise
from bench.claims import questions
from bench.claims.evidence import Evidence
from bench.claims.questions import FORMER, declared, hash_of, same_question
from bench.claims.rules import Finding
from bench.claims.scales import CIFAR10, CIFAR10_SMALL, DIGITS, SCALES, Scale
from bench.claims.verdicts import verdicts
from bench.plugins import Need, Study, studies
from bench.plugins.registry import ROOT
from bench.stats.intervals import Effect

from . import synthetic

ENTRIES = studies.entries()


def scales_of(study: Study) -> list[Scale | None]:
    return [*SCALES] if study.trains else [None]


def hashes(study: Study) -> list[str]:
    """At each scale, on each kind of device."""
    return [
        hash_of(study, scale, device)
        for scale in scales_of(study)
        for device in ("cpu", "cuda", "mps")
    ]


# What does not change it


def registered(source: str, monkeypatch: pytest.MonkeyPatch) -> Study:
    """The study that a file of another name registers."""
    found: list[Study] = []
    with monkeypatch.context() as patch:
        patch.setattr(studies, "add", found.append)
        exec(
            compile(source, "moved.py", "exec"),
            {"__name__": "bench.studies.moved", "__package__": "bench.studies"},
        )
    return found[0]


@pytest.mark.parametrize("study", ENTRIES, ids=lambda study: study.name)
def test_a_comment_a_layout_and_another_file_are_the_same_question(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = studies.origin(study.name).read_text(encoding="utf-8")
    written_anew = ast.unparse(ast.parse(source))  # no comment, every line wrapped in another way
    assert written_anew != source
    for text in (source + "\n# a comment\n", written_anew):
        other = registered(text, monkeypatch)
        assert other.judge is not study.judge
        assert hashes(other) == hashes(study)


@pytest.mark.parametrize(
    "study", [study for study in ENTRIES if study.trains], ids=lambda study: study.name
)
def test_where_data_lie_and_what_trains_are_not_part_of_it(study: Study) -> None:
    for scale in SCALES:
        anywhere = replace(scale, data=f"{scale.data}:/some/where", label="other words")
        found = [hash_of(study, anywhere, device) for device in ("cpu", "cuda", "mps")]
        assert set(found) == {hash_of(study, scale, "cpu")}


def with_findings(study: Study, change: Callable[[Finding], Finding]) -> Study:
    def judge(evidence: Evidence, scale: Scale | None) -> Iterator[Finding]:
        first, *rest = study.judge(evidence, scale)
        yield from (change(first), *rest)

    return replace(study, judge=judge)


def with_needs(study: Study, change: Callable[[Need], Need]) -> Study:
    def needs(scale: Scale | None, device: str) -> list[Need]:
        first, *rest = study.needs(scale, device)
        return [change(first), *rest]

    return replace(study, needs=needs)


def test_words_values_and_order_are_not_part_of_it() -> None:
    study = studies.get("family_ranking")
    same = [
        replace(study, question="Other words?", claims=(99,)),
        replace(study, needs=lambda scale, device: study.needs(scale, device)[::-1]),
        replace(study, judge=lambda evidence, scale: list(study.judge(evidence, scale))[::-1]),
        with_needs(study, lambda need: replace(need, what="other words", worth=99.0)),
        with_findings(
            study,
            lambda found: replace(found, note="a note", value=1.0, effect=Effect(1.0, 1.0, 3, 4)),
        ),
        with_findings(
            study, lambda found: replace(found, region=(int(found.region[0]), found.region[1]))
        ),
        with_needs(
            study, lambda need: replace(need, settings=dict(reversed(need.settings.items())))
        ),
    ]
    assert [hashes(other) == hashes(study) for other in same] == [True] * len(same)


def test_fields_of_a_recipe_may_be_spelled_in_any_order() -> None:
    study = studies.get("kernel_accuracy")
    spelled = [
        replace(DIGITS, recipes={"it": f"digits_small:{text}"})
        for text in ("mixup=0.5:epochs=2", "epochs=2:mixup=0.5")
    ]
    assert len({hash_of(study, scale, "cpu") for scale in spelled}) == 1


# What does


Change = Callable[[Study], Study]


def finding(change: Callable[[Finding], dict[str, Any]]) -> Change:
    return lambda study: with_findings(study, lambda found: replace(found, **change(found)))


def need(**settings: Any) -> Change:
    return lambda study: with_needs(
        study, lambda one: replace(one, settings=one.settings | settings)
    )


CHANGES: dict[str, Change] = {
    "begin of the region": finding(lambda found: {"region": (-0.123, found.region[1])}),
    "end of the region": finding(lambda found: {"region": (found.region[0], 77.0)}),
    "unit": finding(lambda found: {"unit": "share"}),
    "observations": finding(
        lambda found: {"of": "rounds" if found.of == "trainings" else "trainings"}
    ),
    "primary": finding(lambda found: {"primary": not found.primary}),
    "what": finding(lambda found: {"what": found.what + " or so"}),
    "one finding less": lambda study: replace(
        study, judge=lambda evidence, scale: list(study.judge(evidence, scale))[1:]
    ),
    "one need less": lambda study: replace(
        study, needs=lambda scale, device: study.needs(scale, device)[1:]
    ),
    "models": need(models=("resnet18",)),
    "metrics": need(metrics=("latency",)),
    "policies": need(policies=("compile",)),
    "image size": need(image_size=(64,)),
    "budget": need(time_budget=1.0),
    "seed": need(seed=77),
    "recipe": need(recipe="digits"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_another_question_has_another_hash(change: Change) -> None:
    for study in ENTRIES:
        scale = DIGITS if study.trains else None
        assert hash_of(change(study), scale, "cpu") != hash_of(study, scale, "cpu"), study.name


FIELDS: dict[str, Any] = {
    "near": 2,
    "image_size": (48,),
    "family": CIFAR10.family,
    "classes": 100,
    "half": "resnet18",
    "recipes": {"other": "digits"},
    "seeds": 9,
    "replicates": 9,
    "convmixer": (32, 4, 5, 4),
    "patches": (4, 8),
    "skeleton": (32, 6, 8, 128),
    "level": 0.9,
    "decisive": True,
    "policy": "bf16",
    "full": "digits",
    "switches": {"no augmentation": "rotate=0"},
}
NOT_ASKED = {"data", "label", "size", "spread"}
"""Where images lie and words; which scale it is, which needs and findings say themselves; and what
is assumed before anything is measured."""


def test_every_field_of_a_scale_is_part_of_a_question_or_known_not_to_be() -> None:
    assert {field.name for field in fields(Scale)} == FIELDS.keys() | NOT_ASKED


@pytest.mark.parametrize("name", FIELDS)
def test_a_changed_scale_is_another_question(name: str) -> None:
    scale = replace(DIGITS, **{name: FIELDS[name]})
    changed = [
        study.name
        for study in ENTRIES
        if study.trains and hash_of(study, scale, "cpu") != hash_of(study, DIGITS, "cpu")
    ]
    assert changed


def test_questions_differ_between_studies_and_scales() -> None:
    found = [hash_of(study, scale, "cpu") for study in ENTRIES for scale in scales_of(study)]
    assert len(set(found)) == len(found)
    assert all(len(one) == 12 for one in found)


# What a study declares is what it then says


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    """The committed results by folder."""
    return {machine.folder.name: machine.everything for machine in read_all(ROOT / "results")}


MOVED_BY_COUNTS = {"kernel_speed"}
"""Its region is declared as so much above the growth of the multiply-adds, which are counted."""


def test_a_study_says_what_it_declared(committed: dict[str, Any]) -> None:
    """The findings over records are those over none, in the same order."""
    seen = set()
    for summary in committed.values():
        evidence = Evidence(summary)
        for study in ENTRIES:
            scale = DIGITS if study.trains else None
            said = [
                json.loads(questions._finding(finding)) for finding in study.judge(evidence, scale)
            ]
            promised = [
                json.loads(text) for text in declared(study, scale, evidence.kind)["findings"]
            ]
            if study.name in MOVED_BY_COUNTS:
                said, promised = (
                    [[what, *rest] for what, _, _, *rest in all_of] for all_of in (said, promised)
                )
            assert sorted(said) == sorted(promised), study.name
            seen |= {
                study.name for finding in study.judge(evidence, scale) if finding.effect is not None
            }
    assert len(seen) > 12  # of 19, with effects


# Hashes of before


STARRED = {
    (folder, study)
    for folder in ("amd-epyc-2t-eb82", "amd-epyc-2t-eb82-freed-memory-kept")
    for study in (
        "inference_cost",
        "resolution_cost",
        "kernel_speed",
        "patch_speed",
        "policy_effects",
    )
} | {("amd-epyc-2t-eb82", study) for study in ("family_ranking", "ranking_stability")}
"""The first ask more than they did when these were measured: longer runs, one more model, an
exponent of memory over three grids. The second have another second recipe: what was called the
authors' CIFAR-10 optimizer had the epsilon and the clipping of their ImageNet settings. Measure
them anew with `study run NAME --force`, or add a study whose question you changed."""


def test_no_committed_verdict_has_a_star_but_these(committed: dict[str, Any]) -> None:
    found = {
        (folder, one.study)
        for folder, summary in committed.items()
        for one in verdicts(summary)
        if one.changed
    }
    assert found == STARRED


def test_the_hash_of_a_file_stands_for_one_question_at_each_scale() -> None:
    """Not for the study: another region or scale later, and its old data are marked."""
    study = studies.get("kernel_accuracy")
    [old] = [old for old, new in FORMER.items() if hash_of(study, DIGITS, "cpu") in new.split()]
    for scale in SCALES:
        assert same_question(old, hash_of(study, scale, "cpu"))
        assert not same_question(old, hash_of(study, replace(scale, seeds=9), "cpu"))
        assert not same_question(old, hash_of(CHANGES["end of the region"](study), scale, "cpu"))
        assert not same_question(old, hash_of(studies.get("block_choices"), scale, "cpu"))


def test_a_question_put_into_other_words_twice_is_still_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(questions, "FORMER", {"file": "a1 b1", "a1": "a2", "a2": "a3 a1"})
    assert [same_question("file", now) for now in ("a3", "b1", "c1")] == [True, True, False]
    assert [same_question(now, "file") for now in ("a3", "b1")] == [False, False]


# Stars


def trained(scale: Scale, said: str, *, data: str | None = None) -> list[Any]:
    return [
        synthetic.training(
            scale.variant(kernel=kernel),
            seed,
            90.0 + kernel,
            data=data or scale.data,
            recipe=scale.recipe,
            studies={"kernel_accuracy": said},
        )
        for kernel in (3, 5, 7, 9)
        for seed in range(3)
    ]


def stars(records: list[Any]) -> list[tuple[str, bool]]:
    found = verdicts(summarise(records, of_studies=True), [studies.get("kernel_accuracy")])
    return [(one.scale, one.changed) for one in found]


def test_only_the_scale_that_changed_is_marked() -> None:
    """Two scales of one data set, whose images lie anywhere: each knows its own runs."""
    study = studies.get("kernel_accuracy")
    small, authors = (hash_of(study, scale, "cpu") for scale in (CIFAR10_SMALL, CIFAR10))
    data = "cifar10:jpeg"
    both = [*trained(CIFAR10_SMALL, small, data=data), *trained(CIFAR10, authors, data=data)]
    assert [changed for _, changed in stars(both)] == [False, False]
    one = [
        *trained(CIFAR10_SMALL, "0123456789ab", data=data),
        *trained(CIFAR10, authors, data=data),
    ]
    assert dict(stars(one)) == {
        "CIFAR-10 (JPEG), 0.08 M parameters, 6 epochs": True,
        "CIFAR-10 (JPEG), 0.6 M parameters": False,
    }


def test_more_seeds_than_the_scale_has_ask_the_same(tmp_path: Path) -> None:
    from bench.run.session import Session
    from bench.run.study_queue import Queue

    from .conftest import FakeWorkers, Silent

    workers = FakeWorkers(lambda job, window: [0.9])
    study = studies.get("kernel_accuracy")
    session = Session.start(tmp_path, "cpu", Silent(), workers.open, now=workers.clock.now)
    queue = Queue(session, "digits", 0, seeds=5)
    entries = queue.entries([study])
    assert {said for entry in entries for said in entry.studies.values()} == {
        hash_of(study, DIGITS, "cpu")
    }
    assert len(entries) > len(study.needs(DIGITS, "cpu"))


def test_a_speed_is_marked_by_the_question_on_its_kind_of_device() -> None:
    study = studies.get("patch_speed")

    def marked(said: str) -> bool:
        record = synthetic.speed("convmixer_1536_20", [1.0] * 8, studies={study.name: said})
        [found] = verdicts(summarise([record], of_studies=True), [study])
        return found.changed

    assert not marked(hash_of(study, None, "cpu"))
    assert marked(hash_of(study, None, "cuda"))


# As a user sees it


def verdict(home: Path) -> str:
    """`study verdict kernel_accuracy` of a copy of the program, over committed records."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bench",
            "study",
            "verdict",
            "kernel_accuracy",
            "--results",
            "results",
        ],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_comment_and_a_move_leave_a_verdict_as_it_is_and_a_changed_scale_marks_it(
    tmp_path: Path,
) -> None:
    for room in ("bench", "models", "plots"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    machine = "amd-epyc-2t-eb82"
    shutil.copytree(
        ROOT / "results" / machine / "records", tmp_path / "results" / machine / "records"
    )
    before = verdict(tmp_path)
    assert "pipeline check" in before and "*" not in before
    file = tmp_path / "bench" / "studies" / "design" / "kernel_accuracy.py"
    file.with_name("large_kernels.py").write_text(
        "# A comment.\n" + file.read_text(encoding="utf-8"), encoding="utf-8"
    )
    file.unlink()
    assert verdict(tmp_path) == before
    scales = Path(sys.modules[Scale.__module__].__file__ or "").relative_to(ROOT)
    text = (tmp_path / scales).read_text(encoding="utf-8")
    assert text.count("seeds=3,") > 1
    (tmp_path / scales).write_text(
        text.replace("seeds=3,", "seeds=2,", 1), encoding="utf-8"
    )  # the digits come first
    after = verdict(tmp_path)
    assert "pipeline check *" in after
    assert "* some of its data were measured when the study asked another question" in after
