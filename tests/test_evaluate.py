"""Weights on an image folder: answers as by timm's own model and transform, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from PIL import Image
from timm.data import create_dataset, create_loader, resolve_data_config

from bench.config import RunConfig
from bench.errors import Diverged, UsageError
from bench.measure.messages import Chosen
from bench.plan.plan import make
from bench.plugins import datasets, models
from bench.record.arms import AccuracyArm
from bench.training.evaluate import Result, evaluate, neighbours, view_of
from bench.training.images.showing import View
from bench.training.images.views import timms
from bench.training.processes import World
from bench.training.published import CLASSES, weights
from bench.training.weights import (
    evaluate_weights,
    from_file,
    labelled,
    other_labels,
    published,
    read_real,
)

from .pictures import make_folder, make_imagenet

MODEL, TAG = "timm:test_resnet", "r160_in1k"  # timm's smallest residual network, 160 pixels
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_imagenet(tmp_path_factory.mktemp("imagenet"))


@pytest.fixture(scope="module")
def file_of_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), path)
    return path


def arm(imagenet: Path, **changes: Any) -> AccuracyArm:
    common: dict[str, Any] = {
        "model": MODEL,
        "image_size": 160,
        "num_classes": CLASSES,
        "data": f"imagenet:{imagenet}",
        "split": "test",
    }
    return AccuracyArm(**(common | {"transform": "timm's", "weights": TAG} | changes))


def build(size: int | None = None) -> torch.nn.Module:
    network: torch.nn.Module = timm.create_model("test_resnet")
    return network


@pytest.mark.exhaustive
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # timm's own data set leaves files open
def test_the_same_images_are_right_as_with_timms_own_loader(
    imagenet: Path, file_of_weights: Path
) -> None:
    """The counts equal those of timm's validation, with its data config, data set and loader.

    In test_images_on_disk, the command's counts equal those of the same parts of timm.
    """
    found = evaluate_weights(
        arm(imagenet), Chosen(), build=build, device=CPU, workers=2, file=str(file_of_weights)
    )
    model = timm.create_model("test_resnet")
    model.load_state_dict(torch.load(file_of_weights, weights_only=True))
    model.eval()
    settings = resolve_data_config({}, model=model)
    loader = create_loader(
        create_dataset("", root=str(imagenet / "val"), split="validation"),
        input_size=settings["input_size"],
        batch_size=100,
        use_prefetcher=False,
        interpolation=settings["interpolation"],
        mean=settings["mean"],
        std=settings["std"],
        crop_pct=settings["crop_pct"],
        num_workers=0,
        device=CPU,
    )
    with torch.inference_mode():
        best = torch.cat([model(images).topk(5).indices for images, _ in loader])
    labels = torch.arange(CLASSES)[:, None]
    assert torch.equal(found.result.first, (best == labels)[:, 0])
    assert torch.equal(found.result.among_five, (best == labels).any(dim=1))


class Numberless(torch.nn.Module):
    """Gives what is no number for the images of one batch."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return torch.full((len(images), 10), torch.nan if self.calls == 2 else 0.0)


def test_outputs_that_are_no_numbers_are_no_score() -> None:
    part = datasets.get("digits").open("").test
    view = View(size=32, crop=1.0, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3)
    with pytest.raises(
        Diverged, match="the model's outputs are NaN or infinite for 104 of 360 images"
    ):
        evaluate(Numberless(), part, view, device=CPU, workers=0)


@pytest.mark.parametrize("size", [2, 3])
def test_several_processes_see_every_image_once(
    imagenet: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rank's part is evaluated in turn, and put together it is the whole."""
    part = datasets.get("imagenet").open(str(imagenet)).test.subset(torch.arange(101))
    model, view = build().eval(), timms("test_resnet", 160)
    assert view is not None
    whole = evaluate(model, part, view, device=CPU, workers=0)
    parts: list[Any] = []

    def gather(self: World, mine: Any) -> list[Any]:
        parts.append(mine)
        return parts

    monkeypatch.setattr(World, "gather", gather)
    for rank in range(size):
        found = evaluate(model, part, view, device=CPU, workers=0, world=World(rank, size))
    assert len(found.first) == 101
    assert torch.equal(found.first, whole.first)


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_published_weights_at_another_size_are_as_timm_has_them_there(
    name: str, tmp_path: Path
) -> None:
    """As timm's own model of that size from the same file; positional embeddings are resampled."""
    torch.manual_seed(0)
    path = tmp_path / "weights.pth"
    torch.save(timm.create_model(name).state_dict(), path)
    one = AccuracyArm(
        model=f"timm:{name}",
        image_size=192,
        num_classes=CLASSES,
        data="x",
        split="test",
        transform="timm's",
        weights="r160_in1k",
    )
    mine, says = published(models.get(one.model), one, file=str(path))
    sized = {"img_size": 192} if name == "test_vit" else {}
    theirs = timm.create_model(
        f"{name}.r160_in1k", pretrained=True, pretrained_cfg_overlay={"file": str(path)}, **sized
    ).eval()
    images = torch.randn(2, 3, 192, 192)
    with torch.inference_mode():
        assert torch.equal(mine(images), theirs(images))
    assert says == ({"resampled_from": 160} if name == "test_vit" else {})


def test_a_files_weights_at_another_size(tmp_path: Path) -> None:
    def vit(size: int) -> torch.nn.Module:
        network: torch.nn.Module = timm.create_model("test_vit", num_classes=10, img_size=size)
        return network

    path = tmp_path / "weights.pth"
    torch.save({"model": vit(160).state_dict()}, path)
    model, says = from_file(path, vit, 192, own=160)
    assert says["resampled_from"] == 160
    assert model(torch.randn(1, 3, 192, 192)).shape == (1, 10)
    assert "resampled_from" not in from_file(path, vit, 160, own=160)[1]
    torch.save({"model": vit(192).state_dict()}, path)
    assert "resampled_from" not in from_file(path, vit, 192, own=160)[1]
    with pytest.raises(UsageError, match="pos_embed is 1 x 145 x 64, the model's 1 x 101 x 64"):
        from_file(path, vit, 160, own=160)  # never resampled unless a size was asked for


def test_the_spread_over_views_stands_beside(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"train": 1, "val": 2}, side=180)

    def ten(size: int | None = None) -> torch.nn.Module:
        network: torch.nn.Module = timm.create_model("test_resnet", num_classes=10)
        return network

    path = tmp_path / "weights.pth"
    torch.save(ten().state_dict(), path)
    one = arm(root, data=f"folder:{root}", num_classes=10, weights=None, checkpoint="x")
    found = evaluate_weights(one, Chosen(str(path), spread=True), build=ten, device=CPU, workers=0)
    views = found.detail["spread"]
    assert [view.split(",")[0] for view in views] == [
        "crop 0.875",
        "crop 0.9",
        "crop 1",
        "crop 0.95",
        "crop 0.95",
    ]
    assert [view.split(", ")[2] for view in list(views)[3:]] == ["132 px", "188 px"]
    assert found.detail["view"].startswith("crop 0.95")  # timm's for this architecture
    vit = models.get("vit_32_1_p16").build(image_size=160, num_classes=10)
    sizes = {
        view.size
        for view in neighbours(
            vit, View(size=160, crop=0.9, interpolation="bicubic", mean=(0,) * 3, std=(1,) * 3), CPU
        )
    }
    assert sizes == {160}  # its positions are fixed


def test_real_labels_count_any_of_several_and_leave_out_what_has_none(
    imagenet: Path, tmp_path: Path
) -> None:
    part = datasets.get("imagenet").open(str(imagenet)).test
    # Image k of the folder is number 1000 - k of ImageNet's validation set.
    listed: list[list[int]] = [[] for _ in range(CLASSES)]
    listed[CLASSES - 0 - 1] = [0, 7]
    listed[CLASSES - 1 - 1] = [3]
    path = tmp_path / "real.json"
    path.write_text(json.dumps(listed))
    real = read_real(f"real:{path}", part)
    right = other_labels(real)
    best = torch.tensor([[7, 1, 2, 3, 4], [1, 2, 3, 4, 5]])
    assert right(best, torch.tensor([0, 1])).tolist() == [
        [True, False, False, False, False],
        [False, False, True, False, False],
    ]
    every = torch.ones(CLASSES, dtype=torch.bool)
    kept = labelled(Result(every, every, torch.arange(CLASSES)), real)
    assert (len(kept.first), CLASSES - len(kept.first)) == (2, 998)
    path.write_text(json.dumps([[1]]))
    with pytest.raises(UsageError, match="does not match these images"):
        read_real(f"real:{path}", part)
    with pytest.raises(UsageError, match="cannot be read"):
        read_real(f"real:{tmp_path / 'no.json'}", part)


# What can be asked for


def test_a_folder_that_is_not_imagenet(tmp_path: Path) -> None:
    make_folder(tmp_path, {"val": 1}, classes=2)
    with pytest.raises(UsageError, match="has 2 class folders; it must have 1000"):
        make(
            RunConfig(models=(f"{MODEL}@{TAG}",), metrics=("top1",), data=f"imagenet:{tmp_path}"),
            device="cpu",
        )


def test_tags_belong_to_the_architecture() -> None:
    known = weights(models.get("vit_s16"))
    assert known["augreg_in1k"] == "vit_small_patch16_224.augreg_in1k"
    assert known["deit.fb_in1k"] == "deit_small_patch16_224.fb_in1k"
    assert "augreg_in21k" not in known  # 21,843 classes
    assert weights(models.get("deit_s16"))["vit.augreg_in1k"] == "vit_small_patch16_224.augreg_in1k"


def test_a_model_without_a_tag_is_refused_with_the_list(imagenet: Path) -> None:
    config = RunConfig(models=("vit_s16",), metrics=("top1",), data=f"imagenet:{imagenet}")
    with pytest.raises(
        UsageError,
        match=r"has several weights; name one: vit_s16@augreg_in1k, .*vit_s16@deit\.fb_in1k",
    ):
        make(config, device="cpu")
    with pytest.raises(UsageError, match="no weights 'nope'"):
        make(
            RunConfig(models=("vit_s16@nope",), metrics=("top1",), data=f"imagenet:{imagenet}"),
            device="cpu",
        )
    found = make(
        RunConfig(models=("vit_s16@deit.fb_in1k",), metrics=("top1",), data=f"imagenet:{imagenet}"),
        device="cpu",
    )
    [task] = found.accuracies(lambda task: None)
    assert isinstance(task.arm, AccuracyArm)
    assert task.arm.weights == "deit.fb_in1k"


def test_images_that_cannot_be_read_are_left_out_by_name_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(tmp_path, {"train": 1, "val": 4})
    part = datasets.get("folder").open(str(root)).test
    path = root / "val" / "c0004" / "val_00002.jpg"
    path.write_bytes(path.read_bytes()[:200])
    view = View(size=64, crop=1.0, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3)
    model = timm.create_model("test_resnet", num_classes=10).eval()
    with pytest.raises(
        UsageError, match=r"1 of 40 images cannot be read \(.*val_00002\.jpg: .*[Tt]runcated"
    ):
        evaluate(model, part, view, device=CPU, workers=0)
    monkeypatch.setattr("bench.training.images.loader.BROKEN_SHARE", 0.1)
    found = evaluate(model, part, view, device=CPU, workers=0)
    assert len(found.first) == 39
    assert [Path(name).name for name in found.broken] == ["val_00002.jpg"]
    assert found.places is not None
    assert 18 not in found.places.tolist()
    with Image.open(root / "val" / "c0000" / "val_00000.jpg") as image:
        assert image.size == (96, 96)


def test_small_images_are_trained_at_the_size_they_are_tested_at(tmp_path: Path) -> None:
    """A network for 48 pixels on images of 16: enlarged alike, and neither at 16."""
    from bench.plugins.recipe import recipes
    from bench.training.images.batches import feed_of
    from bench.training.processes import ALONE

    splits = datasets.get("folder").open(
        str(make_folder(tmp_path, {"train": 20, "val": 2}, classes=2, side=16))
    )
    assert splits.in_memory
    recipe = recipes.get("small_folder:crop_scale=1-1:crop_ratio=1-1:flip=0:eval_crop=1")
    feed = feed_of(
        splits, recipe, seed=0, share=ALONE.share(recipe, CPU), device=CPU, image_size=48, workers=0
    )
    [[(trained, _)]] = feed.steps(0, 1)
    tested = splits.test.shown(view_of(recipe, splits, 48))
    assert trained.shape[1:] == tested.shape[1:] == (3, 48, 48)
    every = splits.train.shown(view_of(recipe, splits, 48))
    assert all(
        any(torch.equal(one, other) for other in every) for one in trained
    )  # by the same enlargement
