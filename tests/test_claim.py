"""One comparison under every condition: published rows, records of known truth, bad input."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.analysis import published
from bench.analysis.timm_names import TIMM_NAMES
from bench.claims.comparison import answer, flips
from bench.claims.conditions import Condition
from bench.cli.app import main
from bench.plugins import models
from bench.record import store
from bench.record.arms import SpeedArm
from bench.record.schema import About, EndLine, RoundLine, RunLine, Sample
from bench.report.tables.comparison import claim_tables
from bench.stats.intervals import Estimate

from .conftest import MACHINE, sound_pair
from .test_layering import modules_loaded


def test_the_short_names_are_the_registrys() -> None:
    """A model that is not listed is looked up in the registry (tests/test_newcomers.py)."""
    assert TIMM_NAMES.items() <= {entry.name: entry.timm_name for entry in models.entries()}.items()


def test_resnet_against_deit_reverses_with_the_weight_tag(tmp_path: Path) -> None:
    found = answer("resnet50 > deit_s16", "top1", tmp_path / "none")
    assert found.verdict == "fragile"
    assert found.count("fails") > found.count("holds") > 0
    assert all(one.published for one in found.conditions)
    assert found.flips and all(len(flip) == 1 for flip in found.flips)
    assert any(flip.get("weights of resnet50") == "a1_in1k" for flip in found.flips)


def test_the_gap_between_two_convmixers_grows_when_compiled(tmp_path: Path) -> None:
    found = answer("convmixer_768_32 > convmixer_1536_20", "throughput", tmp_path / "none")
    ratios = {
        one.factors["execution"]: one.ratio.value
        for one in found.conditions
        if (one.factors["machine"], one.factors["torch"], one.factors["layout"])
        == ("4090", "pt291", "nchw")
    }
    assert ratios == {
        "eager": pytest.approx(1.93, abs=0.01),
        "compiled": pytest.approx(12.86, abs=0.01),
    }
    assert found.verdict == "robust"


def test_a_claim_is_read_both_ways(tmp_path: Path) -> None:
    one = answer("convmixer_768_32 > convmixer_1536_20", "throughput", tmp_path)
    other = answer("convmixer_1536_20 < convmixer_768_32", "throughput", tmp_path)
    assert one.conditions == other.conditions
    assert (
        answer("convmixer_1536_20 > convmixer_768_32", "throughput", tmp_path).verdict == "reversed"
    )


def test_a_tag_narrows_it(tmp_path: Path) -> None:
    assert (
        answer("resnet50@a1_in1k > deit_s16@fb_in1k", "top1", tmp_path).verdict
        == "holds in one case"
    )
    assert (
        answer("resnet50@tv_in1k > deit_s16@fb_in1k", "top1", tmp_path).verdict
        == "fails in one case"
    )


def test_one_set_of_weights_against_many_is_one_case(tmp_path: Path) -> None:
    found = answer("resnet18 < deit_s16@fb_in1k", "top1", tmp_path)
    assert found.count("holds") > 2 and not found.count("fails")
    assert (found.apart, found.verdict) == (1, "holds in one case")
    [verdict, _] = claim_tables(found)
    assert any(
        "which have 1 set of weights on one side" in cell for row in verdict.rows for cell in row
    )


def test_a_speed_of_one_process_decides_nothing(tmp_path: Path) -> None:
    measured(tmp_path, "one", "fp32", [20.0] * 6, life=6)
    measured(tmp_path, "other", "fp32", [10.0] * 6, life=6)
    assert answer("one > other", "throughput", tmp_path).verdict == "undecided"


def measured(
    results: Path,
    model: str,
    policy: str,
    values: list[float],
    *,
    metric: str = "throughput",
    batch: int = 2,
    life: int = 2,
) -> None:
    unit, better = {"throughput": ("image/s", "higher"), "latency": ("s", "lower")}[metric]
    folder = results / MACHINE.name / "records"
    arm = SpeedArm(
        model=model, image_size=224, num_classes=1000, policy=policy, device="cpu", batch_size=batch
    )
    path = store.create(folder, arm, {"protocol": 1}, About(family="mine"))
    store.append(
        path,
        RunLine(run="r1", started="2026-01-01", version="0", commit=None, seed=0, machine=MACHINE),
    )
    for number, value in enumerate(values, start=1):
        sample = Sample(metric=metric, unit=unit, better=better, values=[value])  # type: ignore[arg-type]
        store.append(
            path,
            RoundLine(run="r1", round=number, worker=1 + (number - 1) // life, samples=[sample]),
        )
    store.append(path, EndLine(run="r1", status="ok", metrics=[metric]))


WOBBLE = [1 + 0.01 * (number % 3) for number in range(8)]


@pytest.mark.parametrize(
    ("speeds", "verdict", "flip"),
    [
        ({"fp32": 2.0, "channels_last": 1.5, "compile": 3.0}, "robust", None),
        ({"fp32": 0.5, "channels_last": 0.7, "compile": 0.3}, "reversed", None),
        (
            {"fp32": 2.0, "channels_last": 0.5, "compile": 3.0},
            "fragile",
            {"policy": "channels_last"},
        ),
        ({"fp32": 1.0, "channels_last": 1.0, "compile": 1.0}, "undecided", None),
    ],
)
def test_it_is_right_where_the_truth_is_known(
    tmp_path: Path, speeds: dict[str, float], verdict: str, flip: dict[str, str] | None
) -> None:
    sound_pair(tmp_path / MACHINE.name / "records")
    for policy, speed in speeds.items():
        measured(tmp_path, "mine_a", policy, [10 * speed * wobble for wobble in WOBBLE])
        measured(tmp_path, "mine_b", policy, [10 * wobble for wobble in reversed(WOBBLE)])
    found = answer("mine_a > mine_b", "throughput", tmp_path)
    assert (found.verdict, len(found.conditions)) == (verdict, 3)
    assert found.flips == ([flip] if flip else [])
    assert not any(one.published for one in found.conditions)


def test_better_is_less_where_less_is_better(tmp_path: Path) -> None:
    measured(
        tmp_path, "mine_a", "fp32", [0.1 * wobble for wobble in WOBBLE], metric="latency", batch=1
    )
    measured(
        tmp_path, "mine_b", "fp32", [0.2 * wobble for wobble in WOBBLE], metric="latency", batch=1
    )
    [one] = answer("mine_a > mine_b", "latency", tmp_path).conditions
    assert one.ratio.value == pytest.approx(2.0, rel=0.02)


def condition(outcome: str, **factors: str) -> Condition:
    value = {"holds": 2.0, "fails": 0.5, "undecided": 1.01}[outcome]
    return Condition(factors, Estimate(value), published=True)


def test_the_smallest_set_that_turns_it_may_have_two_factors() -> None:
    found = [
        condition("holds", policy="eager", batch="1"),
        condition("holds", policy="eager", batch="64"),
        condition("holds", policy="compiled", batch="1"),
        condition("fails", policy="compiled", batch="64"),
        condition("undecided", policy="graph", batch="64"),
    ]
    assert flips(found) == [{"policy": "compiled", "batch": "64"}]
    assert flips([condition("holds", policy="eager")]) == []


def test_what_a_published_setting_consists_of() -> None:
    assert published.factors_of("amp-nhwc-pt240-cu124-rtx3090 bs1024 224 px") == {
        "machine": "3090",
        "precision": "amp",
        "layout": "nhwc",
        "execution": "eager",
        "torch": "pt240",
        "batch": "1024",
        "px": "224",
    }
    compiled = published.factors_of("fp32-nchw-pt221-cpu-i9_10940x-dynamo bs1 224 px")
    assert (compiled["machine"], compiled["execution"], compiled["batch"]) == (
        "i9_10940x",
        "compiled",
        "1",
    )
    for one in published.speeds():
        assert all(published.factors_of(one.setting).values()), one.setting


@pytest.mark.parametrize(
    ("claim", "complaint"),
    [
        ("vit_s16 beats resnet50", "is not a comparison"),
        ("vit_s16 > resnet5O", "did you mean resnet50?"),
        (
            "convmixer_768_32 > skeleton_64_6_mlp_p8",
            "nothing is recorded or published of 'skeleton_64_6_mlp_p8'",
        ),
    ],
)
def test_bad_claims_are_one_line(
    claim: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["claim", claim, "--on", "top1", "--results", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert complaint in told and told.count("\n") == 1 and "Traceback" not in told


def test_the_command_draws_and_exits_by_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(
            [
                "claim",
                "convmixer_768_32 > convmixer_1536_20",
                "--on",
                "throughput",
                "--results",
                str(tmp_path),
            ]
        )
        == 0
    )
    assert main(["claim", "resnet50 > deit_s16", "--on", "top1", "--results", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert "fragile" in told and "turned by" in told
    drawn = sorted(path.stem for path in (tmp_path / "claims").glob("*.png"))
    assert drawn == sorted(path.stem for path in (tmp_path / "claims").glob("*.svg"))
    whole = [name for name in drawn if not name.endswith("_at_a_glance")]
    assert len(whole) == 2 and set(drawn) == {*whole, *(f"{name}_at_a_glance" for name in whole)}


def test_it_loads_no_torch_and_is_quick(results: Path) -> None:
    before = time.monotonic()
    loaded = modules_loaded(
        "claim",
        "convmixer_768_32 > convmixer_1536_20",
        "--on",
        "throughput",
        "--results",
        str(results),
        cwd=results,
    )
    assert not {"torch", "timm"} & loaded
    assert time.monotonic() - before < 20  # 5 s on a quiet machine
