"""Comparing two sets of records: a run with itself, a known change, refusals, exit codes."""

from __future__ import annotations

import math
import random
import shutil
from pathlib import Path

import pytest

from bench.analysis.changes import Change, Comparison, UnjudgedChange, compare, judged
from bench.cli.app import main
from bench.record import store
from bench.record.arms import SpeedArm
from bench.record.schema import About, EndLine, RoundLine, RunLine, Sample
from bench.report.tables.changes import changes
from bench.stats.intervals import Effect, Estimate
from bench.stats.reference import SENTINEL

from .by_hand.sessions import false_changes
from .conftest import MACHINE, resealed
from .program import called

MODELS = [f"model_{number}" for number in range(10)]


def write(
    folder: Path,
    draw: random.Random,
    *,
    scale: float = 1.0,
    noise: float = 0.01,
    rounds: range = range(24),
    run: str = "r1",
    protocol: int = 1,
    commit: str | None = None,
    pair: bool = True,
) -> None:
    """Write ten models' latency and throughput, with noise of their own under one common drift.

    The first model is the reference and never scaled. There is an A/A pair of each batch size,
    unless `pair` is False.
    """
    arms = [(model, model != MODELS[0], place + 1.0, "asked") for place, model in enumerate(MODELS)]
    arms += [(model, False, 1.0, "sentinel") for model in SENTINEL if pair]
    for model, scaled, level, role in arms:
        for metric, unit, better, base in (
            ("latency", "s", "lower", 0.01),
            ("throughput", "image/s", "higher", 90.0),
        ):
            arm = SpeedArm(
                model=model,
                image_size=224,
                num_classes=1000,
                policy="fp32",
                device="cpu",
                batch_size=1 if metric == "latency" else 2,
            )
            path = store.create(
                folder / "results" / MACHINE.name / "records",
                arm,
                {"protocol": protocol},
                About(family="mine"),
            )
            began = RunLine(
                run=run,
                started="2026-01-01",
                version="0",
                commit=commit,
                seed=0,
                machine=MACHINE,
                role=role,  # type: ignore[arg-type]
            )
            store.append(path, began)
            for at in rounds:
                drift = 1 + 0.2 * random.Random(at).random()
                factor = 1.0 if not scaled else scale if metric == "latency" else 1 / scale
                value = (
                    base
                    * level
                    * factor
                    * (drift if metric == "latency" else 1 / drift)
                    * math.exp(draw.gauss(0, noise))
                )
                sample = Sample(metric=metric, unit=unit, better=better, values=[value])  # type: ignore[arg-type]
                store.append(
                    path, RoundLine(run=run, round=at, worker=1 + at // 3, samples=[sample])
                )
            store.append(path, EndLine(run=run, status="ok", metrics=[metric]))


def test_a_run_against_itself_finds_no_change(tmp_path: Path) -> None:
    """Two halves of one run, six draws: next to no line is changed, after Holm's correction."""
    changed = total = 0
    for number in range(6):
        order = list(range(48))
        random.Random(number).shuffle(order)
        for side, rounds in (("a", order[:24]), ("b", order[24:])):
            write(tmp_path / f"{number}{side}", random.Random(f"{number}{side}"), rounds=rounds)  # type: ignore[arg-type]
        found = compare(str(tmp_path / f"{number}a"), str(tmp_path / f"{number}b")).changes
        changed += sum(one.outcome in ("better", "worse") for one in found)
        total += len(found)
    assert total == 120
    assert changed <= 0.02 * total


def test_what_sessions_do_is_no_change() -> None:
    """Sessions that move every arm by 2 % or 5 % are no change of the code.

    Of 100 comparisons of eight equal arms, about six may find something.
    """
    for spread in (0.02, 0.05):
        assert (
            false_changes(spread, draws=100, seed=0) <= 10
        )  # 6 expected: more than 10 come out in 4 of 100 such tests


def test_a_quarter_is_found_everywhere(tmp_path: Path) -> None:
    write(tmp_path / "a", random.Random(1), noise=0.004)
    write(tmp_path / "b", random.Random(2), noise=0.004, scale=1.248)
    left, right = str(tmp_path / "a"), str(tmp_path / "b")
    found = compare(left, right)
    scaled = [one for one in found.changes if not one.name.startswith("model_0 ")]
    assert len(scaled) == 18 and all(one.outcome == "worse" for one in scaled)
    assert {one.outcome for one in found.changes if one.name.startswith("model_0 ")} <= {
        "no change",
        "not judged",
    }
    assert found.resolves is not None and 0.005 < found.resolves < 0.2
    lines = {(row[0], row[1]): row for row in changes(found, left, right).rows}
    assert lines["model_3 fp32 b1 224 px", "latency"][3].startswith("+2")
    assert lines["model_3 fp32 b2 224 px", "throughput"][3].startswith("-19.")
    ended = called("compare", left, right, "--fail-on-regression", "21%", cwd=tmp_path)
    assert ended.code == 1, ended  # latencies grew by 24.8, throughputs fell by 19.9
    assert ended.out.startswith("18 worse, ") and "can resolve changes of " in ended.out
    assert "9 got worse by more than 21.0%" in ended.out
    assert main(["compare", left, right, "--fail-on-regression", "0.3"]) == 0
    assert main(["compare", left, right]) == 0
    assert main(["compare", right, left, "--fail-on-regression", "3%"]) == 0  # it got better


@pytest.mark.parametrize(("ratio", "says"), [(1.248, "+24.8 %"), (0.801, "-19.9 %")])
def test_a_change_is_said_of_the_quantity_itself(ratio: float, says: str) -> None:
    change = Change(
        "one", "throughput", "higher", Estimate(ratio), p=0.01, outcome="better", against="vit_s16"
    )
    [row] = changes(Comparison([change], []), "a", "b").rows
    assert row[3] == says
    assert change.loss == pytest.approx(1 - ratio)


def test_interval_p_and_word_are_one_test() -> None:
    """An interval excludes 1 exactly where Holm's p is below 0.05 and the word is a change."""
    draw = random.Random(0)
    for _ in range(50):
        lines = [
            UnjudgedChange(
                Change(str(n), "throughput", "higher", Estimate(1.0)),
                Effect(draw.gauss(0, 0.03), 0.01, 5.0, 12),
            )
            for n in range(6)
        ]
        for one in judged(lines, None, [], []).changes:
            assert one.p is not None
            assert (one.outcome != "no change") == (not one.ratio.holds(1.0)) == (one.p < 0.05)


def test_two_commits_of_one_folder(tmp_path: Path) -> None:
    write(tmp_path, random.Random(1), run="r1", commit="aaaa1111", noise=0.004)
    write(tmp_path, random.Random(2), run="r2", commit="bbbb2222", scale=1.5, noise=0.004)
    found = compare(f"{tmp_path}@aaaa", f"{tmp_path}@bbbb")
    assert all(
        one.outcome == "worse" for one in found.changes if not one.name.startswith("model_0 ")
    )


def test_without_an_aa_pair_ratios_are_raw_and_nothing_is_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "a", random.Random(1), pair=False)
    write(tmp_path / "b", random.Random(2), scale=1.5)
    assert (
        main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--fail-on-regression", "1%"])
        == 0
    )
    shown = capsys.readouterr().out
    assert "no change can be resolved" in shown and "no A/A check on both sides: raw ratio" in shown
    found = compare(str(tmp_path / "a"), str(tmp_path / "b"))
    assert {one.outcome for one in found.changes} == {"not judged"}
    one = next(
        one for one in found.changes if one.name.startswith("model_3 ") and one.metric == "latency"
    )
    assert one.ratio.value == pytest.approx(1.5, rel=0.02) and one.ratio.low is None


def test_what_was_measured_differently_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "a", random.Random(1))
    write(tmp_path / "b", random.Random(1), protocol=2)
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    told = capsys.readouterr().err
    assert "measured differently: protocol 1 and 2" in told and told.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["a", "nowhere"], "no records below nowhere"),
        (
            ["a", "a", "--fail-on-regression", "much"],
            "must be a share below 1, got 'much'; 5% or 0.05",
        ),
        (["a", "a@cccc"], "has no run at that commit"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(tmp_path / "a", random.Random(1), rounds=range(2))
    monkeypatch.chdir(tmp_path)
    assert main(["compare", *arguments]) == 2
    told = capsys.readouterr().err
    assert complaint in told and told.count("\n") == 1


def test_too_few_rounds_are_no_verdict(tmp_path: Path) -> None:
    write(tmp_path / "a", random.Random(1), rounds=range(5))
    write(tmp_path / "b", random.Random(2), rounds=range(5), scale=2.0)
    assert {one.outcome for one in compare(str(tmp_path / "a"), str(tmp_path / "b")).changes} == {
        "not judged"
    }


def test_several_machines_on_one_side_have_to_be_named(tmp_path: Path) -> None:
    write(tmp_path / "a", random.Random(1), rounds=range(6))
    shutil.copytree(tmp_path / "a" / "results" / MACHINE.name, tmp_path / "a" / "results" / "other")
    for path in (tmp_path / "a" / "results" / "other" / "records").glob("*.jsonl"):
        path.write_bytes(
            resealed(
                path.read_bytes().replace(f'"name":"{MACHINE.name}"'.encode(), b'"name":"other"')
            )
        )
    with pytest.raises(ValueError, match=f"contains several machines .other, {MACHINE.name}"):
        compare(str(tmp_path / "a"), str(tmp_path / "a"))
    one, other = (str(tmp_path / "a" / "results" / name) for name in (MACHINE.name, "other"))
    assert "better" not in {change.outcome for change in compare(one, other).changes}
