"""Whole training runs from the command line: killed and resumed, and in two torchrun processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .by_hand.killed import killed, weights


def losses(results: Path) -> list[float]:
    """The loss of every step, in order, from the logs."""
    [path] = results.glob("*/logs/*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    found = {line["step"]: line["loss"] for line in lines if line["event"] == "step"}
    return [found[step] for step in sorted(found)]


@pytest.mark.exhaustive  # a minute; test_sharing and test_images_on_disk each kill once and resume
def test_killed_at_random_moments_the_weights_are_those_of_an_undisturbed_run(
    tmp_path: Path,
) -> None:
    """Once here; tests/by_hand/killed.py does it as often as one likes."""
    recipe = "digits:epochs=5"
    assert killed(tmp_path / "whole", "convmixer_digits", recipe, 0) == []
    assert len(killed(tmp_path / "broken", "convmixer_digits", recipe, 1, seed=3, longest=1.5)) == 1
    assert weights(tmp_path / "whole") == weights(tmp_path / "broken")
    assert losses(tmp_path / "whole") == losses(tmp_path / "broken")
    assert not list((tmp_path / "broken").glob("*/checkpoints/*.safetensors"))


def in_several(
    results: Path,
    model: str,
    recipe: str,
    processes: int,
    *,
    device: str = "cpu",
    policy: str = "fp32",
) -> None:
    """One training in so many processes."""
    what = [
        "run",
        "--metrics",
        "top1",
        "--data",
        "digits",
        "--device",
        device,
        "--train-policy",
        policy,
    ]
    arguments = [*what, "--models", model, "--recipe", recipe, "--results", str(results)]
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
    ]
    found = subprocess.run(
        [*launcher, "-m", "bench", *arguments], capture_output=True, text=True, timeout=300
    )
    assert found.returncode == 0, found.stderr[-3000:]
    assert "Top-1 · digits" in found.stdout


@pytest.mark.parametrize(
    "model", [pytest.param("vit_digits", marks=pytest.mark.exhaustive), "convmixer_digits"]
)
def test_two_processes_train_as_one_with_accumulation(model: str, tmp_path: Path) -> None:
    """Without batch norm, or with each process's own statistics, losses are equal.

    The batch and the micro-batches are the same. Dropped paths are drawn per micro-batch, not per
    process.
    """
    recipe = "digits:drop_path=0.2:epochs=2:micro_batch=32"
    killed(tmp_path / "one", model, recipe, 0)
    in_several(tmp_path / "two", model, recipe, 2)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == len(two) == 34
    assert max(abs(left - right) for left, right in zip(one[:20], two[:20], strict=True)) < 1e-4
    [record] = (tmp_path / "two").glob(f"*/records/{model}.*.jsonl")
    detail = json.loads(record.read_text().splitlines()[2])["samples"][0]["detail"]
    assert (detail["processes"], detail["images"]) == (2, 360)


def test_under_torchrun_only_trainings_are_shared(tmp_path: Path) -> None:
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    found = subprocess.run(
        [*launcher, "-m", "bench", "run", "--models", "vit_digits", "--results", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode != 0
    assert "bench: --metrics: torchrun trains each model in all processes together" in found.stderr
