"""A name that comes from a file runs no code. Only names typed on the command line do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bench.cli.app import main
from bench.config import suite_fields
from bench.errors import UsageError

from .conftest import speed_record
from .program import assert_one_line, bench

EVIL = (
    "open('executed', 'a').close()\n\n\n"
    "def build(image_size, num_classes):\n"
    "    open('executed', 'a').close()\n"
)
NAMES = ("./evil.py:build", "evil:build")


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a stranger's code in it, which leaves `executed` behind."""
    (tmp_path / "evil.py").write_text(EVIL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_of_weights_names_code(started: Path) -> None:
    says = json.dumps({"format": 1, "model": "./evil.py:build"})
    save_file(
        {"weight": torch.ones(1)}, started / "w.safetensors", metadata={"convmixer_bench": says}
    )
    ended = bench("eval", "--checkpoint", "w.safetensors", "--data", "digits", cwd=started)
    assert_one_line(ended, "w.safetensors", "./evil.py:build", "--model")
    assert not (started / "executed").exists()


def test_typed_it_runs(started: Path) -> None:
    """That is what such a name is for."""
    ended = bench("describe", "./evil.py:build", cwd=started)
    assert ended.code != 0
    assert (started / "executed").exists()


def test_a_suite_names_code(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "type the name on the command line to run it"
    (started / "mine.toml").write_text('models = ["./evil.py:build"]\nmetrics = ["params"]\n')
    assert_one_line(bench("run", "--suite", "mine.toml", cwd=started), "evil", words)
    (started / "mine.toml").write_text(
        'reference = "evil:build"\nmatch = ["vit"]\nmetrics = ["params"]\n'
    )
    assert main(["run", "--suite", "mine.toml", "--dry-run"]) == 2
    assert words in capsys.readouterr().err
    assert not (started / "executed").exists()


def test_a_suite_joins_no_cluster(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'models = ["resnet18"]\nlauncher = "ray"\naddress = "evil.example:6379"\n'
    )
    with pytest.raises(
        UsageError, match="names a cluster to join; give --address on the command line"
    ):
        suite_fields(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_records_name_code(name: str, started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stranger's records through everything that reads records."""
    for folder in ("results", "others"):
        speed_record(
            started / folder / "machine" / "records", name, [10.0, 11.0, 12.0, 11.0, 10.0, 11.0]
        )
    for arguments in (
        ["report"],
        ["study", "verdict"],
        ["export", "out"],
        ["pack", "pack.zip"],
        ["verify", "pack.zip"],
        ["compare", "results", "others"],
        ["claim", f"{name} > vit_s16", "--on", "throughput"],
        ["run", "--models", "convmixer_digits", "--metrics", "params", "--dry-run"],
    ):
        main(arguments)
        assert not (started / "executed").exists(), arguments
    capsys.readouterr()
