"""`bench study` from the command line: list, dry run, verdicts from records alone, bad input."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli.app import main
from bench.plugins import studies

from .program import ROOT, bench
from .test_layering import modules_loaded


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run", "patch_sped"], "no study named 'patch_sped'; did you mean patch_speed?"),
        (["verdict", "nothing"], "no study named 'nothing'"),
        (
            ["run", "all", "--data", "mnist"],
            "studies have no scale for 'mnist'; there are digits, cifar10, imagenet",
        ),
        (
            ["run", "all", "--max-minutes", "0"],
            "--max-minutes: must be a number of minutes above 0, got 0",
        ),
        (["run", "all", "--seeds", "1"], "--seeds: must be from 2 to 1000, got 1"),
        (["verdict", "--results", "nowhere"], "nowhere is not a folder"),
        (["run", "patch_speed", "--device", "tpu"], "must be auto, cpu, cuda, cuda:N or mps"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["study", *arguments]) == 2
    told = capsys.readouterr().err
    assert complaint in told and told.count("\n") == 1 and "Traceback" not in told


def test_the_list_has_every_question(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "list"]) == 0
    told = capsys.readouterr().out
    assert all(entry.name in told for entry in studies.entries())


def test_a_dry_run_measures_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "run", "kernel_accuracy", "--dry-run", "--results", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "kernels of 3 to 9, seed 0" in told and "worth" in told
    assert not list(tmp_path.glob("*/records"))


def test_a_named_study_shows_the_machines_that_have_it_and_names_the_others() -> None:
    ended = bench("study", "verdict", "kernel_speed", cwd=ROOT, env={"COLUMNS": "80"})
    assert ended.code == 0, ended
    assert ended.out.count("Study kernel_speed") == ended.out.count("1 inconclusive") == 1
    said = " ".join(ended.out.split())
    assert "kernel_speed is not measured on amd-epyc-2t-3e69, " in said
    assert "is measured by" not in ended.out  # one machine has it
    assert len(ended.out.splitlines()) < 50


def test_verdicts_come_from_records_alone(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seven models' speeds are not enough for any study, and a command for the rest is named."""
    assert main(["study", "verdict", "--results", str(results)]) == 0
    told = capsys.readouterr().out
    assert "no study is measured" in told and "python -m bench study run NAME" in told
    assert main(["study", "verdict", "inference_cost", "--results", str(results)]) == 0
    told = capsys.readouterr().out
    assert "not measured" in told and "python -m bench study run inference_cost" in told
    assert "inference_cost is not measured yet" in told and "; 1 not" not in told
    loaded = modules_loaded("study", "verdict", "--results", str(results), cwd=results)
    assert not {"torch", "timm"} & loaded
