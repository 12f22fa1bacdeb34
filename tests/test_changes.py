"""Comparing two sets of records: a run with itself, a known change, refusals, exit codes."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from bench import record
from bench.changes import compare
from bench.cli import main
from bench.record import About, EndLine, RoundLine, RunLine, Sample, SpeedArm

from .conftest import MACHINE, resealed

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
) -> None:
    """Ten models' latency and throughput, all under one drift, with noise of their own."""
    for number, model in enumerate(MODELS):
        for metric, unit, better, base in (("latency", "s", "lower", 0.01), ("throughput", "image/s", "higher", 90.0)):
            arm = SpeedArm(
                model=model, image_size=224, num_classes=1000, policy="fp32", device="cpu", batch_size=1 if metric == "latency" else 2
            )
            path = record.create(folder / "results" / MACHINE.name / "records", arm, {"protocol": protocol}, About(family="mine"))
            record.append(path, RunLine(run=run, started="2026-01-01", version="0", commit=commit, seed=0, machine=MACHINE))
            for at in rounds:
                drift = 1 + 0.2 * random.Random(at).random()
                factor = scale if metric == "latency" else 1 / scale
                value = base * (number + 1) * factor * (drift if metric == "latency" else 1 / drift) * 2.718281828 ** draw.gauss(0, noise)
                sample = Sample(metric=metric, unit=unit, better=better, values=[value])  # type: ignore[arg-type]
                record.append(path, RoundLine(run=run, round=at, worker=1 + at // 3, samples=[sample]))
            record.append(path, EndLine(run=run, status="ok", metrics=[metric]))


def test_a_run_against_itself_finds_no_change(tmp_path: Path) -> None:
    """Two halves of one run, twenty draws: at least nine arms in ten unchanged, after Holm's correction."""
    same = total = 0
    for number in range(20):
        order = list(range(48))
        random.Random(number).shuffle(order)
        for side, rounds in (("a", order[:24]), ("b", order[24:])):
            write(tmp_path / f"{number}{side}", random.Random(f"{number}{side}"), rounds=rounds)  # type: ignore[arg-type]
        found = compare(str(tmp_path / f"{number}a"), str(tmp_path / f"{number}b")).changes
        assert not any(one.paired for one in found)
        same += sum(one.outcome == "no change" for one in found)
        total += len(found)
    assert total == 400
    assert same >= 0.9 * total


def test_five_per_cent_is_found_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a", random.Random(1))
    write(tmp_path / "b", random.Random(2), scale=1.05)
    left, right = str(tmp_path / "a"), str(tmp_path / "b")
    found = compare(left, right)
    assert all(one.paired and one.outcome == "worse" for one in found.changes)
    assert all(one.loss == pytest.approx(0.05, abs=0.01) for one in found.changes)
    assert main(["compare", left, right, "--fail-on-regression", "3%"]) == 1
    assert "20 got worse by more than 3.0%" in capsys.readouterr().out
    assert main(["compare", left, right, "--fail-on-regression", "0.1"]) == 0
    assert main(["compare", left, right]) == 0
    assert main(["compare", right, left, "--fail-on-regression", "3%"]) == 0  # it got better


def test_two_commits_of_one_folder(tmp_path: Path) -> None:
    write(tmp_path, random.Random(1), run="r1", commit="aaaa1111")
    write(tmp_path, random.Random(2), run="r2", commit="bbbb2222", scale=1.3)
    found = compare(f"{tmp_path}@aaaa", f"{tmp_path}@bbbb")
    assert all(one.outcome == "worse" and not one.paired for one in found.changes)


def test_what_was_measured_differently_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a", random.Random(1))
    write(tmp_path / "b", random.Random(1), protocol=2)
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    told = capsys.readouterr().err
    assert "measured differently: protocol 1 and 2" in told and told.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["a", "nowhere"], "no records below nowhere"),
        (["a", "a", "--fail-on-regression", "much"], "'much' is no share; 5% or 0.05"),
        (["a", "a@cccc"], "has no run at that commit"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "a", random.Random(1), rounds=range(2))
    monkeypatch.chdir(tmp_path)
    assert main(["compare", *arguments]) == 2
    told = capsys.readouterr().err
    assert complaint in told and told.count("\n") == 1


def test_too_few_rounds_are_no_verdict(tmp_path: Path) -> None:
    write(tmp_path / "a", random.Random(1), rounds=range(5))
    write(tmp_path / "b", random.Random(2), rounds=range(5), scale=2.0)
    assert {one.outcome for one in compare(str(tmp_path / "a"), str(tmp_path / "b")).changes} == {"too few rounds"}


def test_several_machines_on_one_side_have_to_be_named(tmp_path: Path) -> None:
    write(tmp_path / "a", random.Random(1), rounds=range(6))
    shutil.copytree(tmp_path / "a" / "results" / MACHINE.name, tmp_path / "a" / "results" / "other")
    for path in (tmp_path / "a" / "results" / "other" / "records").glob("*.jsonl"):
        path.write_bytes(resealed(path.read_bytes().replace(f'"name":"{MACHINE.name}"'.encode(), b'"name":"other"')))
    with pytest.raises(ValueError, match=f"holds several machines .other, {MACHINE.name}"):
        compare(str(tmp_path / "a"), str(tmp_path / "a"))
    one, other = (str(tmp_path / "a" / "results" / name) for name in (MACHINE.name, "other"))
    assert {change.outcome for change in compare(one, other).changes} == {"no change"}
