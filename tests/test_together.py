"""Whole training runs from the command line: killed and resumed, and in two torchrun processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .by_hand.killed import killed, weights
from .program import assert_one_line, called


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


def test_under_torchrun_only_trainings_are_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, with what torchrun tells each of two."""
    for name, value in {"TORCHELASTIC_RUN_ID": "one", "RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert_one_line(
        called("run", "--models", "vit_digits", "--results", tmp_path, cwd=tmp_path),
        "--metrics: torchrun trains each model in all processes together",
    )
