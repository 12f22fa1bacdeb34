"""`bench pick`: limits, candidates, who leaves early, the two stages, and what a user sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.analysis import published
from bench.cli.tables.pick import headline, short_list
from bench.errors import UsageError
from bench.measure.messages import Job, Window
from bench.pick.answer import answer
from bench.pick.candidates import default_names, field_of, too_much_work
from bench.pick.draws import Evidence
from bench.pick.limits import Limits, limits_of
from bench.pick.race import CHECK_IMAGES
from bench.pick.search import Question, Search
from bench.pick.stages import COMPILING_S, FinalPlan, finalists, plan_final, untried
from bench.pick.standing import CLEAR, Seen, leaving
from bench.record import store
from bench.record.values import InProcess
from bench.run.session import Session

from .conftest import FakeWorkers, Silent
from .pick_worlds import candidate, timed
from .program import Ended, assert_one_line, bench, called, snapshot

# Limits


def test_limits_are_read_in_the_units_shown() -> None:
    found = limits_of(latency="60ms", memory="2", params="30M", macs="5", top1="79")
    assert found == Limits(latency=0.06, memory=2e9, params=30e6, macs=5e9, top1=0.79)
    assert found.objective == "top1"
    assert limits_of(top1="79%").objective == "latency"
    assert "latency at most 60.0 ms" in found.text and "top-1 at least 79.0 %" in found.text


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"latency": "60px"}, "--max-latency: cannot read '60px'; 20ms would work"),
        ({"latency": "-3ms"}, "--max-latency: -3ms means"),
        ({"params": "30"}, "--max-params: 30 means"),
        ({"top1": "0.79"}, "--min-top1: 0.79 means 0.790 %; 80% would work"),
        ({"top1": "101%"}, "--min-top1: 101% means"),
        ({"memory": "lots"}, "--max-memory: cannot read 'lots'"),
        ({}, "pick: within which limits?"),
    ],
)
def test_a_limit_that_cannot_be_meant_is_refused(flags: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        limits_of(**flags)
    assert words in str(caught.value)


# Candidates


def test_default_candidates_are_the_architectures_of_the_table() -> None:
    names = default_names()
    assert len(names) == len({row.architecture for row in published.rows()}) >= 20
    assert {"vit_s16", "resnet50", "convmixer_768_32", "mixer_b16"} <= set(names)
    assert "timm:deit3_small_patch16_224" in names


def test_candidates_that_miss_a_limit_are_left_out_with_their_reason() -> None:
    names = ["vit_s16", "resnet50", "mixer_b16", "convmixer_768_32", "convmixer_digits"]
    field = field_of(names, Limits(latency=0.06, params=30e6, top1=0.79))
    assert [one.name for one in field.candidates] == ["resnet50", "convmixer_768_32"]
    assert min(field.candidates[0].tops) >= 0.79, "weight sets below the limit do not count"
    reasons = {one.reason: one.names for one in field.left_out}
    assert reasons == {
        "published top-1 below 79.0 %": ("vit_s16",),
        "more than 30.0 M parameters": ("mixer_b16",),
        "no top-1 published at their image size": ("convmixer_digits",),
    }
    able, too_slow = too_much_work(field.candidates, 0.06, 150e9)
    assert [one.name for one in able] == ["resnet50"]
    assert too_slow is not None and too_slow.names == ("convmixer_768_32",)
    with pytest.raises(UsageError, match="--candidates: no model named 'vit_s15'"):
        field_of(["vit_s15"], Limits(latency=1.0))


# Who leaves early


def seen(latency: float, *tops: float, rounds: int = 4) -> Seen:
    return Seen(latency=[latency] * rounds, tops=tops, params=1)


def test_only_what_cannot_be_the_best_leaves() -> None:
    safe = 0.06 / CLEAR - 0.001
    found = leaving(
        {
            "safe": seen(safe, 0.78, 0.80),
            "worse": seen(0.01, 0.77),
            "overlapping": seen(0.01, 0.79),
            "slow": seen(0.06 * CLEAR + 0.001, 0.9),
            "near": seen(0.061, 0.9),
            "unknown": seen(0.5, 0.9, rounds=2),
        },
        0.06,
        "top1",
    )
    assert set(found) == {"worse", "slow"}


def test_nobody_is_worse_than_one_that_may_be_over_the_limit() -> None:
    near = {"near": seen(0.058, 0.80), "worse": seen(0.01, 0.7)}
    assert not leaving(near, 0.06, "top1")
    safe = {"safe": seen(0.01, 0.80), "worse": seen(0.01, 0.7)}
    assert set(leaving(safe, 0.06, "top1")) == {"worse"}
    assert not leaving(safe, 0.06, "top1", sure=False), "there is a limit of memory too"


def test_with_other_policies_to_come_only_the_far_over_leave() -> None:
    slow = {"slow": seen(0.15, 0.9), "far": seen(0.3, 0.9)}
    assert set(leaving(slow, 0.06, "top1")) == {"slow", "far"}
    assert set(leaving(slow, 0.06, "top1", room=3.0)) == {"far"}


# The answer


def rounds(latency: float, number: int = 12, life: int = 3) -> dict[tuple[str, int], InProcess]:
    wobble = (1.0, 1.01, 0.99, 1.02, 0.98)
    return {
        ("r", at): InProcess(latency * wobble[at % 5], ("r", at // life)) for at in range(number)
    }


def answered(
    measured: dict[str, tuple[float, Sequence[float]]],
    number: int = 12,
    work: dict[str, float] | None = None,
    **limits: float,
) -> Any:
    """Return the answer for latencies and top-1; `work` are multiply-adds in G, 60 G a second."""
    limits = limits or {"latency": 0.06}
    candidates = []
    for name, (latency, tops) in measured.items():
        macs = round(1e9 * (work or {}).get(name, 60 * latency))
        candidates.append(candidate(name, tops, macs=macs))
    evidence = {name: timed(rounds(latency, number)) for name, (latency, _) in measured.items()}
    objective = Limits(**limits).objective
    return answer(candidates, Evidence(timed=evidence), Limits(**limits), objective)


def test_the_highest_top1_within_the_limit_is_named_and_both_kinds_of_values_are_marked() -> None:
    found = answered({"slow": (0.09, [0.9]), "good": (0.05, [0.8]), "quick": (0.01, [0.7])})
    assert found.likeliest.candidate.name == "good" and found.likeliest.best > 0.99
    line = headline(found)
    assert line.startswith("good is the best within latency at most 60.0 ms, with probability > 99")
    assert "50.0 ±" in line and "ms measured under fp32 eager" in line
    assert "top-1 80.0 % as published" in line
    table = short_list(found, [], None, "results")
    assert [row[0] for row in table.rows] == ["good"]
    assert any("published by others, not measured here" in note for note in table.notes)


def test_weight_sets_are_equally_likely() -> None:
    found = answered({"wide": (0.03, [0.7, 0.7, 0.7, 0.9]), "sure": (0.03, [0.8])})
    shares = {one.candidate.name: one.best for one in found.judged}
    assert shares["wide"] == pytest.approx(0.25, abs=0.03)
    assert shares["wide"] + shares["sure"] == pytest.approx(1)


def test_equal_top1_is_decided_by_latency() -> None:
    found = answered({"slower": (0.05, [0.8]), "quicker": (0.03, [0.8])})
    assert found.likeliest.candidate.name == "quicker"


def test_none_within_the_limit_is_said_with_the_nearest() -> None:
    found = answered({"slow": (0.09, [0.9]), "slower": (0.2, [0.9])})
    assert found.likeliest is None and found.none == 1
    assert headline(found).startswith("no candidate is within latency at most 60.0 ms; the fastest")
    assert "slow:" in headline(found)


KNOWN = {"high": [0.9], "unknown": [0.85], "low": [0.8]}


def test_too_few_processes_give_no_probability() -> None:
    found = answered({"one": (0.055, [0.8]), "other": (0.05, [0.79])}, number=3)
    assert {one.standing for one in found.judged} == {"open"}
    assert headline(found).startswith("not settled within")
    assert "larger --time-budget" in headline(found)
    assert found.undecided == 1 and found.none == 0


def test_one_of_unknown_speed_lowers_what_is_promised_as_far_as_its_top1_reaches() -> None:
    candidates = [candidate(name, tops) for name, tops in KNOWN.items()]
    measured = {name: timed(rounds(0.055)) for name in ("high", "low")}
    measured["unknown"] = timed(rounds(0.055, number=3))
    found = answer(candidates, Evidence(timed=measured), Limits(latency=0.0555), "top1")
    shares = {one.candidate.name: one for one in found.judged}
    assert shares["unknown"].standing == "open" and shares["unknown"].best is None
    assert shares["high"].best == pytest.approx(shares["high"].within, abs=0.01)
    assert shares["low"].best == 0, "unknown may be better"
    assert found.undecided == pytest.approx(1 - shares["high"].within, abs=0.01)


# Stages


def test_the_final_is_of_those_that_may_be_the_best() -> None:
    found = answered(
        {
            "good": (0.05, [0.8]),
            "close": (0.07, [0.82]),
            "hopeless": (0.16, [0.83]),
            "worse": (0.02, [0.7]),
            "better": (0.055, [0.81, 0.79]),
            "second": (0.05, [0.799, 0.81]),
        }
    )
    names = [one.candidate.name for one in finalists(found, more_policies=True)]
    assert names[0] == "close", "the highest top-1 that another policy may bring within"
    assert "better" in names and not {"worse", "hopeless"} & set(names)


def test_who_does_few_multiply_adds_a_second_may_gain_most() -> None:
    measured = {"good": (0.05, [0.8]), "poor": (0.095, [0.82]), "well": (0.09, [0.82])}
    found = answered(measured, work={"poor": 4.1})
    names = [one.candidate.name for one in finalists(found, more_policies=True)]
    assert names[0] == "poor", "95 ms at 43 G a second: 57 ms at 1.2 times the others' 60"
    assert [one.candidate.name for one in finalists(found, more_policies=False)] == ["good"]


def test_the_final_has_one_that_needs_no_gain() -> None:
    """Four that an engine left over the limit were once the whole final: nothing was settled."""
    slow = {f"slow_{place}": (0.08, [0.82]) for place in range(6)}
    found = answered({**slow, "sure": (0.05, [0.8]), "surer": (0.03, [0.78])})
    names = [one.candidate.name for one in finalists(found, more_policies=True)]
    assert names[0].startswith("slow") and names[1] == "sure" and len(set(names)) == len(names)


def test_whom_another_policy_may_bring_within_the_limit_is_said() -> None:
    """ResNet-50 was at 95 ms in eager PyTorch and at 53 in an engine: slow is not out of reach."""
    found = answered(
        {
            "good": (0.05, [0.8]),
            "slow": (0.095, [0.79, 0.82]),
            "slow_and_worse": (0.095, [0.79]),
            "far": (0.3, [0.9]),
            "tried": (0.09, [0.85]),
        }
    )
    final = FinalPlan(("good", "tried"), ("fp32", "ort"))
    [note] = [one for one in short_list(found, [], final, "results").notes if "no time" in one]
    assert "1 of those over the limit under fp32" in note and "(slow); to know:" in note
    assert "--policies ort, which times all candidates under it" in note
    for nothing_else in (None, FinalPlan(("good", "tried"), ("fp32",))):
        assert untried(found, nothing_else) == []


def test_policies_of_the_final_depend_on_the_budget_alone() -> None:
    usual = ["fp32", "compile", "channels_last"]
    limits = Limits(latency=0.06)

    def policies(budget: float, elapsed: float = 0.0, *, named: bool = False) -> tuple[str, ...]:
        plan = plan_final(["a"], usual, limits, budget, elapsed, all_of_them=named)
        assert set(plan.policies) | set(plan.not_tried) == set(usual)
        return plan.policies

    assert policies(10) == ("fp32",)
    assert policies(100) == ("fp32", "channels_last")
    assert policies(30 * COMPILING_S) == ("fp32", "channels_last", "compile")
    assert policies(10, named=True) == ("fp32", "channels_last", "compile")
    assert policies(100, elapsed=99) == ("fp32",), "late already"


def test_an_engine_is_tried_on_more_models_before_more_policies_are() -> None:
    usual, models = ["fp32", "channels_last", "ort", "compile"], list("abcdef")

    def final(budget: float, elapsed: float = 0.0) -> FinalPlan:
        limits = Limits(latency=0.06)
        return plan_final(models, usual, limits, budget, elapsed, all_of_them=False)

    assert final(300) == FinalPlan(tuple("abcd"), ("ort",), ("channels_last", "compile"))
    late = final(300, elapsed=170)
    assert late.policies == ("ort",) and 2 <= len(late.models) < 4
    assert final(1000).policies == ("ort", "fp32", "channels_last")
    assert len(final(1000).models) == 6


def speeds(job: Job, window: Window) -> list[float]:
    """Steady latencies: two candidates are far over the limit, one is the best of the others."""
    usual = {"vit_digits": 0.02, "mixer_digits": 0.03, "resnet_digits": 5.0}
    policy = getattr(job.arm, "policy", "fp32")
    return [usual.get(job.arm.model, 9.0) / (2 if "channels_last" in policy else 1)]


def search(results: Path, workers: FakeWorkers, budget: float = 400.0) -> Search:
    tops = {"vit_digits": 0.80, "mixer_digits": 0.81, "resnet_digits": 0.9, "convmixer_digits": 0.7}
    field = field_of(list(tops), Limits(latency=0.06), needs_published=False)
    candidates = []
    for one in field.candidates:
        sets = candidate(one.name, [tops[one.name]]).weight_sets
        candidates.append(replace(one, weight_sets=sets))
    question = Question(
        candidates=candidates,
        limits=Limits(latency=0.06),
        objective="top1",
        policies=["fp32", "channels_last"],
        budget=budget,
    )
    session = Session.start(results, "cpu", Silent(), workers.open, now=workers.clock.now)
    return Search(question, session, workers.clock.now())


def test_two_runs_answer_and_a_second_call_measures_nothing(tmp_path: Path) -> None:
    workers = FakeWorkers(speeds, seconds_per_window=0.2, seconds_to_open=0.5)
    first = search(tmp_path, workers)
    found = first.run()
    assert found.likeliest is not None
    assert found.likeliest.candidate.name == "mixer_digits"
    assert found.likeliest.timed.policy == "channels_last", "chosen, and measured again"
    assert found.likeliest.best == 1.0
    standing = {one.candidate.name: one.standing for one in found.judged}
    assert standing["resnet_digits"] == standing["convmixer_digits"] == "out"
    assert first.final is not None and "resnet_digits" not in first.final.models
    windows = [model for model, _, _ in workers.requests]
    assert windows.count("resnet_digits") < windows.count("mixer_digits") / 2, "it left early"
    assert {job.check_images for job in workers.opened if job.arm.is_timed} == {CHECK_IMAGES}

    asked = len(workers.requests)
    again = search(tmp_path, workers).run()
    assert len(workers.requests) == asked, "all of it is finished"
    assert again.likeliest is not None and again.likeliest.candidate.name == "mixer_digits"
    search(tmp_path, workers, budget=4000.0).run()
    assert len(workers.requests) > asked, "a larger budget goes on"


def test_those_that_left_count_as_stopped_early(tmp_path: Path) -> None:
    """So that an ordinary run, which has no time budget, measures them to its end."""
    workers = FakeWorkers(speeds, seconds_per_window=0.2, seconds_to_open=0.5)
    search(tmp_path, workers).run()
    [path] = tmp_path.glob("*/records/resnet_digits.speed.*")
    [end] = store.load(path).ends
    assert end.status == "ok" and end.short and end.time_budget and not end.hopeless


# As a user


SMALL = "vit_digits,mixer_digits,resnet_digits"


def picked(cwd: Path, *more: str) -> Ended:
    return bench(
        *("pick", "--max-latency", "200ms", "--for", "latency", "--candidates", SMALL),
        *("--policies", "fp32", "--device", "cpu", "--time-budget", "15", *more),
        cwd=cwd,
        limit=300,
    )


def test_a_pick_in_small(tmp_path: Path) -> None:
    """Three small models; the second start finds all of it finished."""
    ended = picked(tmp_path)
    assert ended.code == 0, ended
    within = "within latency at most 200 ms"
    answers = (f"is the best {within}, with probability", f"not settled {within}: too little")
    assert any(answer in ended.out for answer in answers), ended
    assert "measured under fp32 eager" in ended.out
    assert "the lowest latency within the limits" in " ".join(ended.out.split())
    records = [one for one in snapshot(tmp_path) if one.endswith(".jsonl")]
    assert sum("vit_digits.speed" in one for one in records) == 1
    before = snapshot(tmp_path)
    again = picked(tmp_path)
    assert again.code == 0 and "nothing to measure" in again.out, again
    if "is the best within" in ended.out:
        assert snapshot(tmp_path) == before, "it was settled"
    report = called("report", "--no-page", cwd=tmp_path)
    assert report.code == 0 and "resnet_digits" in report.out


BAD = [
    ([], ["pick: within which limits?", "--max-latency 60ms"]),
    (["--max-latency", "60px"], ["--max-latency: cannot read '60px'", "20ms would work"]),
    (["--max-latency", "60ms", "--candidates", "vit_s15"], ["--candidates: no model", "vit_s16"]),
    (["--max-params", "1M"], ["pick: no candidate is left", "more than 1.00 M parameters"]),
    (["--min-top1", "99%"], ["pick: no candidate is left", "published top-1 below 99.0 %"]),
    (["--max-latency", "60ms", "--policies", "compiel"], ["--policies", "compile"]),
    (["--max-latency", "60ms", "--time-budget", "0"], ["--time-budget: must be"]),
    (["--max-latency", "60ms", "--weights", "x"], ["--weights: for which images?"]),
    (["--max-latency", "60ms", "--data", "folder:/nowhere"], ["--data folder:/nowhere"]),
    (["--max-latency", "60ms", "--candidates", "vit_s16@augreg_in1k"], ["--candidates", "vit_s16"]),
]


@pytest.mark.parametrize(("flags", "words"), BAD, ids=lambda value: " ".join(value)[:40])
def test_bad_input_is_one_line(flags: list[str], words: list[str], tmp_path: Path) -> None:
    assert_one_line(called("pick", "--device", "cpu", *flags, cwd=tmp_path), *words)
    assert not list(tmp_path.iterdir()), "nothing is written"


def test_a_dry_run_shows_candidates_and_measures_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.pick.search.product_rate", lambda device: 100e9)
    ended = called(
        *("pick", "--max-latency", "60ms", "--max-params", "30M", "--device", "cpu", "--dry-run"),
        cwd=tmp_path,
    )
    assert ended.code == 0, ended
    assert "candidates; nothing was measured" in ended.out
    assert "deit_s16" in ended.out and "79.8 to 79.9" in ended.out
    text = " ".join(ended.out.split())
    assert "not measured:" in text and "more than 30.0 M parameters" in text
    assert "MACs: over 60.0 ms under any policy" in text
    assert "--time-budget" in text
    assert not list(tmp_path.iterdir())
