"""How images are shown to weights: whose settings count, and each flag acts or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.data import resolve_data_config

from bench.config import RunConfig
from bench.errors import UsageError
from bench.plan.evaluations import TIMMS
from bench.plan.plan import make
from bench.plugins import datasets, models
from bench.record.arms import AccuracyArm, key_of
from bench.training import checkpoint
from bench.training.images.splits import Splits
from bench.training.images.views import Shown, shown
from bench.training.published import weights
from bench.training.weights_file import StoredView, WeightsMetadata

from .pictures import make_folder, make_imagenet

FOLDER, DIGITS = datasets.get("folder"), datasets.get("digits")


def seen(name: str, size: int = 224, **more: Any) -> Shown:
    return shown(models.get(name), more.pop("dataset", FOLDER), size=size, **more)


@pytest.mark.parametrize(
    "name",
    [
        "vit_ti16",
        "deit_ti16",
        "resnet18",
        "convmixer_768_32",
        "mixer_s32",
        "timm:test_vit",
        "timm:resnet50.tv_in1k",
    ],
)
def test_the_architectures_own_as_timm_has_it(name: str) -> None:
    """Held against what timm resolves for a model that it built."""
    entry = models.get(name)
    architecture = entry.timm_name if not name.startswith("timm:") else name.removeprefix("timm:")
    with torch.device("meta"):
        settings = resolve_data_config({}, model=timm.create_model(architecture or ""))
    found = seen(name, entry.image_size)
    view = found.view
    assert (view.size, view.crop, view.interpolation) == (
        settings["input_size"][-1],
        settings["crop_pct"],
        settings["interpolation"],
    )
    assert (view.mean, view.std, view.crop_mode) == (
        tuple(settings["mean"]),
        tuple(settings["std"]),
        settings["crop_mode"],
    )
    assert found.whose == f"as timm has it for {architecture}"


def test_at_the_size_that_timm_tests_at_as_timm_does_there() -> None:
    entry = models.get("resnet50")
    tag = weights(entry)["a1_in1k"]
    settings = resolve_data_config(
        {}, pretrained_cfg=timm.get_pretrained_cfg(tag).to_dict(), use_test_size=True
    )
    found = seen("resnet50", 288, tag="a1_in1k").view
    assert (
        (found.size, found.crop) == (settings["input_size"][-1], settings["crop_pct"]) == (288, 1.0)
    )
    assert seen("resnet50", 256, tag="a1_in1k").view.crop == 0.95


def test_whose_word_counts() -> None:
    """Flags before the file, the file before the architecture, the usual if nothing is known."""
    says = WeightsMetadata(
        "vit_ti16", 224, StoredView(0.8, "bilinear", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    )
    assert (
        seen("vit_ti16", says=says).text
        == "crop 0.8, bilinear, 224 px, mean 0.1 0.2 0.3, std 0.4 0.5 0.6 (as the file says)"
    )
    found = seen("vit_ti16", says=says, asked={"crop": 1.0, "mean": (0.5,)})
    assert (
        found.text == "crop 1, bilinear, 224 px, mean 0.5 0.5 0.5, std 0.4 0.5 0.6 "
        "(by --crop and --mean, the rest as the file says)"
    )
    assert (
        seen("vit_ti16", says=WeightsMetadata("vit_ti16")).whose
        == "as timm has it for vit_tiny_patch16_224"
    )
    usual = seen("resnet_64_2-2-2-2_basic", says=WeightsMetadata())
    assert usual.key == "crop 0.875, bicubic, mean 0.485 0.456 0.406, std 0.229 0.224 0.225"
    assert usual.whose == "the usual: nothing else is known of resnet_64_2-2-2-2_basic"
    every = {
        "crop": 0.9,
        "crop_mode": "squash",
        "interpolation": "nearest",
        "mean": (0.1,),
        "std": (0.2,),
    }
    assert (
        seen("vit_ti16", asked=every).whose
        == "by --crop and --crop-mode and --interpolation and --mean and --std"
    )
    assert (
        seen("vit_ti16", asked=every).key
        == "crop 0.9 squash, nearest, mean 0.1 0.1 0.1, std 0.2 0.2 0.2"
    )


def test_small_images_are_shown_as_they_are() -> None:
    found = seen("resnet18", 32, dataset=DIGITS)
    splits: Splits = DIGITS.open("")
    assert found.key == "crop 1.0, bicubic, normalised by the training split"
    assert (found.of(splits).mean, found.of(splits).std) == (splits.mean, splits.std)
    assert seen("resnet18", 32, dataset=DIGITS, asked={"mean": (0.5,)}).of(splits).mean == (
        0.5,
        0.5,
        0.5,
    )


# What a command does with it


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("folder"), {"train": 1, "val": 1}, side=48)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("files")
    torch.save({"w": torch.ones(1)}, root / "w.pth")
    view = {"crop": 0.8, "interpolation": "bilinear", "mean": [0.1] * 3, "std": [0.2] * 3}
    checkpoint.save(
        root / "own.safetensors",
        {"w": torch.ones(1)},
        {"model": "vit_ti16", "image_size": 160, "view": view},
    )
    return root


def arm_of(**changes: Any) -> tuple[AccuracyArm, tuple[str, ...]]:
    plan = make(RunConfig(models=("vit_ti16",), metrics=("top1",), **changes), device="cpu")
    [task] = plan.accuracies(lambda task: None)
    assert isinstance(task.arm, AccuracyArm)
    return task.arm, plan.notes


def test_another_view_is_another_arm_and_said_before_it_is_evaluated(
    folder: Path, files: Path
) -> None:
    common: dict[str, Any] = {"data": f"folder:{folder}", "checkpoint": files / "w.pth"}
    plain, notes = arm_of(**common)
    how = (
        "crop 0.9, bicubic, 224 px, mean 0.5 0.5 0.5, std 0.5 0.5 0.5 "
        "(as timm has it for vit_tiny_patch16_224)"
    )
    assert notes == (f"vit_ti16 is shown images at {how}",)
    flags = (
        {"crop": 1.0},
        {"interpolation": "bilinear"},
        {"mean": (0.4,)},
        {"std": (0.2, 0.3, 0.4)},
        {"crop_mode": "squash"},
    )
    more = ({"image_size": (160,)}, {"checkpoint_key": "x"})
    keys = {key_of(arm_of(**common, **one)[0], {}) for one in ({}, *flags, *more)}
    assert len(keys) == 1 + len(flags) + len(more)
    assert arm_of(**common, crop=0.9)[0] == plain  # the same view, whoever asked for it
    own = arm_of(data=f"folder:{folder}", checkpoint=files / "own.safetensors")[0]
    assert (own.image_size, own.transform) == (
        160,
        "crop 0.8, bilinear, mean 0.1 0.1 0.1, std 0.2 0.2 0.2",
    )


def test_published_weights_keep_their_key_and_take_flags_and_sizes(tmp_path: Path) -> None:
    make_imagenet(tmp_path)

    def arm(name: str = "resnet50@a1_in1k", **changes: Any) -> AccuracyArm:
        config = RunConfig(
            models=(name,), metrics=("top1",), data=f"imagenet:{tmp_path}", **changes
        )
        [task] = make(config, device="cpu").accuracies(lambda task: None)
        assert isinstance(task.arm, AccuracyArm)
        return task.arm

    assert arm().transform == TIMMS
    assert (arm(image_size=(288,)).image_size, arm(image_size=(288,)).transform) == (288, TIMMS)
    assert (
        arm(crop=1.0).transform
        == "crop 1.0, bicubic, mean 0.485 0.456 0.406, std 0.229 0.224 0.225"
    )
    with pytest.raises(
        UsageError,
        match=r"--image-size: the weights of mixer_b16 are for 224 .*mlp_tokens.* drop 288",
    ):
        arm("mixer_b16@goog_in21k_ft_in1k", image_size=(288,))
    with pytest.raises(UsageError, match=r"convmixer_768_32.* 288 is not a multiple"):
        arm("convmixer_768_32@in1k", image_size=(288,))
    assert arm("vit_ti16@augreg_in21k_ft_in1k", image_size=(288,)).image_size == 288


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"crop": 0.9}, "--crop: on which images"),
        ({"mean": (0.5,)}, "--mean: on which images"),
        ({"crop": 1.5, "data": "digits"}, "--crop: must be above 0 and at most 1, got 1.5"),
        ({"mean": (0.5, 0.5), "data": "digits"}, "--mean: must be one number or three"),
        ({"std": (0.0,), "data": "digits"}, "--std: must be one number or three"),
        (
            {"checkpoint_key": "x", "data": "digits"},
            "--checkpoint-key: x is an entry of which file",
        ),
        (
            {"crop": 0.9, "data": "digits", "metrics": ("top1",)},
            "--crop: .* --recipe digits:eval_crop=...",
        ),
        ({"std": (0.5,), "data": "digits", "metrics": ("top1",)}, "--std: .* drop it"),
        (
            {"models": ("vit_digits@in1k",), "data": "digits"},
            "--models: vit_digits@in1k names published weights, and digits is trained on",
        ),
        (
            {"models": ("vit_digits@a",), "data": "digits", "checkpoint": "x"},
            "--models: vit_digits@a .* --checkpoint has them; vit_digits would",
        ),
        (
            {"crop": 0.9, "data": "digits", "metrics": ("params",)},
            "--crop: .* add top1 to --metrics",
        ),
    ],
)
def test_flags_that_would_not_act_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make(RunConfig(**{"models": ("convmixer_digits",), **changes}), device="cpu")


def test_models_that_do_not_take_the_images_are_named() -> None:
    named: dict[str, Any] = {
        "models": ("convmixer_digits", "vit_s16", "vit_digits"),
        "data": "digits",
    }
    found = make(RunConfig(metrics=("params", "top1"), **named), device="cpu")
    assert found.notes == (
        "no top-1 of vit_s16: digits has 32 x 32 images, for which --image-size 32 builds a model",
    )
    with pytest.raises(
        UsageError, match="--models: vit_s16 cannot be trained: digits has 32 x 32 images"
    ):
        make(RunConfig(metrics=("top1",), **named), device="cpu")
    assert make(RunConfig(metrics=("top1",), image_size=(32,), **named), device="cpu").notes == ()
