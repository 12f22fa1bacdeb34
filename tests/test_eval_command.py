"""`bench eval` and `bench recipe` from the command line."""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.utils import CheckpointSaver, ModelEmaV3

from bench.cli.app import main
from bench.measure.subject.executed import Executed
from bench.plugins import models
from bench.training import checkpoint

from .pictures import make_folder
from .program import bench, called


def weights(path: Path) -> Path:
    """An untrained digits model, with what our own files say of themselves."""
    torch.manual_seed(0)
    model = models.get("convmixer_digits").build(image_size=32, num_classes=10)
    view = {"crop": 1.0, "interpolation": "bicubic", "mean": [0.3] * 3, "std": [0.3] * 3}
    checkpoint.save(path, model.state_dict(), {"model": "convmixer_digits", "view": view})
    return path


def test_a_file_of_ours_is_evaluated_without_naming_its_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    for name in ("one", "two"):
        path = weights(tmp_path / f"{name}.safetensors")
        if name == "two":
            tensors, says = checkpoint.load(path)
            tensors["head.bias"] = torch.randn(10)
            checkpoint.save(
                path, tensors, {key: value for key, value in says.items() if key != "format"}
            )
        assert (
            main(["eval", "--checkpoint", str(path), "--data", "digits", "--results", str(results)])
            == 0
        )
        shown = capsys.readouterr().out
        assert "Top-1 · digits · weights as they are" in shown
        assert "Top-1 at other views" in shown
        assert "at chance" in shown
    assert (
        main(["eval", "--checkpoint", str(path), "--data", "digits", "--results", str(results)])
        == 0
    )
    assert "nothing to measure" in capsys.readouterr().out
    names = [
        record.stem.rpartition(".")[2] for record in (results).glob("*/records/*accuracy*.jsonl")
    ]
    assert main(["eval", "--compare", *names, "--results", str(results)]) == 0
    assert "two sets of weights, not two architectures" in capsys.readouterr().out


def test_somebody_elses_checkpoint_by_the_plain_command(tmp_path: Path) -> None:
    """Evaluate a checkpoint of timm's CheckpointSaver on a folder, with defaults and with flags.

    With flags it is another arm.
    """
    make_folder(tmp_path / "data", {"train": 1, "val": 3}, side=48)
    model = timm.create_model("test_resnet", num_classes=10)
    saver = CheckpointSaver(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        args=argparse.Namespace(model="x", lr=0.1),
        model_ema=ModelEmaV3(model),
        checkpoint_dir=str(tmp_path),
        recovery_dir=str(tmp_path),
    )
    saver.save_checkpoint(0, metric=12.0)
    command = [
        "eval",
        "--checkpoint",
        "last.pth.tar",
        "--model",
        "timm:test_resnet",
        "--data",
        "folder:data",
        "--no-spread",
        "--notes",
    ]
    ended = bench(*command, cwd=tmp_path)
    assert ended.code == 0, ended
    view = (
        "crop 0.95, bilinear, 160 px, mean 0.5 0.5 0.5, std 0.5 0.5 0.5 "
        "(as timm has it for test_resnet)"
    )
    assert ended.out.count(view) == 2  # before it is evaluated, and under the table
    other = "which also has state_dict (--checkpoint-key chooses)"
    assert f"taken from entry state_dict_ema of the file, {other}" in ended.out
    ended = called(
        *command,
        "--crop",
        "1",
        "--mean",
        "0.4",
        "--checkpoint-key",
        "state_dict",
        "--image-size",
        "128",
        cwd=tmp_path,
    )
    assert "1 configuration measured" in ended.out, ended
    assert (
        "crop 1, bilinear, 128 px, mean 0.4 0.4 0.4, std 0.5 0.5 0.5 "
        "(by --crop and --mean, the rest as timm" in ended.out
    )
    assert len(list(tmp_path.glob("results/*/records/*.jsonl"))) == 2


def test_weights_that_do_not_fit_or_are_no_numbers_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = models.get("convmixer_digits").build(image_size=32, num_classes=10).state_dict()
    files = {
        "nan": (
            good | {"head.bias": good["head.bias"] * torch.nan},
            "NaN or infinite in head.bias",
        ),
        "classes": (
            good | {"head.bias": torch.ones(7), "head.weight": torch.ones(7, 128)},
            "weights for 7 classes, and the data has 10",
        ),
        "huge": (
            good | {"stem.0.weight": torch.full_like(good["stem.0.weight"], 3e38)},
            "NaN or infinite",
        ),
    }
    for name, (content, words) in files.items():
        path = tmp_path / f"{name}.pth"
        torch.save(content, path)
        command = [
            "eval",
            "--model",
            "convmixer_digits",
            "--checkpoint",
            str(path),
            "--data",
            "digits",
            "--results",
            str(tmp_path / "r"),
        ]
        assert main(command) == 2, name
        error = capsys.readouterr().err
        assert words in error
        assert str(path) in error
        assert error.count("\n") == 1


def test_flags_that_would_not_act_beside_compare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flag in (
        ["--crop", "0.9"],
        ["--mean", "0.5"],
        ["--image-size", "32"],
        ["--checkpoint", "x.pth"],
    ):
        assert main(["eval", "--compare", "a", "b", *flag, "--results", str(tmp_path)]) == 2
        assert f"{flag[0]}: --compare reads earlier evaluations" in capsys.readouterr().err


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.write_text, (self.path, "executed"))


@pytest.mark.parametrize("named", [True, False])
def test_a_malicious_pickle_is_one_line(
    named: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, mark = tmp_path / "evil.pth", tmp_path / "mark"
    path.write_bytes(pickle.dumps(Malicious(mark)))
    model = ["--model", "convmixer_digits"] if named else []
    assert (
        main(
            [
                "eval",
                *model,
                "--checkpoint",
                str(path),
                "--data",
                "digits",
                "--results",
                str(tmp_path / "r"),
            ]
        )
        == 2
    )
    output = capsys.readouterr()
    assert output.err.count("\n") == 1
    assert "is refused" in output.err
    assert "Traceback" not in output.out + output.err
    assert not mark.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["eval"], "--data: on which images?"),
        (["eval", "--data", "digits"], "there are no published weights for digits"),
        (["eval", "--data", "imagenet:/nowhere"], "--model: which architecture?"),
        (["eval", "--compare", "a", "b"], "no evaluated weights 'a'; there are none"),
        (["recipe", "show", "digit"], "did you mean digits"),
        (["recipe", "diff", "digits", "digits:epoch=3"], "did you mean epochs"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_recipes_are_shown_and_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "show", "convmixer_imagenet"]) == 0
    shown = capsys.readouterr().out
    assert "rand-m9-mstd0.5-inc1" in shown
    assert "0: 0 → 0.4: 1 → 0.8: 0.05 → 1: 0" in shown
    assert main(["recipe", "diff", "convmixer_cifar", "convmixer_cifar_100"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[3:] if line] == ["epochs", "jitter", "erase"]
    assert main(["recipe", "diff", "digits", "digits"]) == 0
    assert "no difference" in capsys.readouterr().out


def test_weights_are_evaluated_as_they_are_timed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each policy has a record and a row, and is held against float32 on the same images."""
    path, results = weights(tmp_path / "one.safetensors"), tmp_path / "results"
    command = ["eval", "--checkpoint", str(path), "--data", "digits", "--results", str(results)]
    assert main([*command, "--policies", "fp32,bf16,channels_last"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.count("is shown images at") == 1, "the same for all policies"
    assert "Accuracy of what is timed · digits" in shown
    rows = shown.partition("Accuracy of what is timed")[2]
    for policy in ("fp32 eager", "bf16", "channels_last"):
        assert f") {policy} " in rows
    assert "channels_last" in rows and "0.00 [0.00, 0.00] 0 1" in rows
    assert len(list(results.glob("*/records/*accuracy*.jsonl"))) == 3
    digest = shown.partition("convmixer_digits (")[2].partition(")")[0]
    left, right = f"convmixer_digits ({digest})", f"convmixer_digits ({digest}) under bf16"
    assert main(["eval", "--compare", left, right, "--results", str(results)]) == 0
    assert "McNemar's exact test" in capsys.readouterr().out


def test_a_policy_that_a_model_cannot_have_is_a_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, results = weights(tmp_path / "one.safetensors"), tmp_path / "results"
    command = ["eval", "--checkpoint", str(path), "--data", "digits", "--results", str(results)]
    assert main([*command, "--policies", "graph"]) == 2
    assert "--policies: graph does not run on cpu" in capsys.readouterr().err


@pytest.mark.parametrize("policy", ["fp32", "bf16", "channels_last"])
def test_a_smaller_last_batch_is_evaluated_like_the_others(policy: str) -> None:
    torch.manual_seed(0)
    model = models.get("convmixer_digits").build(image_size=32, num_classes=10).eval()
    images = torch.randn(7, 3, 32, 32)
    with torch.inference_mode():
        expected = model(images)
        executed = Executed(model, policy, torch.device("cpu"), 10)
        logits = torch.cat([executed(images[:4]), executed(images[4:])])
    assert logits.dtype == torch.float32
    assert torch.allclose(logits, expected, atol=0.02)
    with pytest.raises(ValueError, match="after a first batch"):
        executed(images)
