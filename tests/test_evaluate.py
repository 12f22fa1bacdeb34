"""Weights on an image folder: the same answers as timm's own model, transform and order give; and what is refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from PIL import Image
from timm.data import create_dataset, create_loader, resolve_data_config

from bench.config import RunConfig
from bench.errors import UsageError
from bench.plan import make
from bench.plugins import datasets, models
from bench.record import AccuracyArm
from bench.training import checkpoint
from bench.training.evaluate import Result, View, evaluate, neighbours, shown, view_of
from bench.training.published import CLASSES, timms_view, weights
from bench.training.weights import evaluate_weights, from_file, labelled, other_labels, read_real
from bench.training.world import World

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
    common: dict[str, Any] = {"model": MODEL, "image_size": 160, "num_classes": CLASSES, "data": f"imagenet:{imagenet}", "split": "test"}
    return AccuracyArm(**(common | {"transform": "timm's", "weights": TAG} | changes))


def build(size: int | None = None) -> torch.nn.Module:
    network: torch.nn.Module = timm.create_model("test_resnet")
    return network


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # timm's own data set leaves files open
def test_the_same_images_are_right_as_with_timms_own_loader(imagenet: Path, file_of_weights: Path) -> None:
    """timm's validation does: resolve_data_config, create_dataset, create_loader, top-1 and top-5 of the logits."""
    found = evaluate_weights(arm(imagenet), build=build, device=CPU, workers=2, file=str(file_of_weights))
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


@pytest.mark.parametrize("size", [2, 3])
def test_several_processes_see_every_image_once(imagenet: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rank's part is evaluated in turn, and put together it is the whole."""
    part = datasets.get("imagenet").open(str(imagenet)).test.subset(torch.arange(101))
    model, view = build().eval(), timms_view(build())
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


def test_the_spread_over_views_stands_beside(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"train": 1, "val": 2}, side=180)

    def ten(size: int | None = None) -> torch.nn.Module:
        network: torch.nn.Module = timm.create_model("test_resnet", num_classes=10)
        return network

    path = tmp_path / "weights.pth"
    torch.save(ten().state_dict(), path)
    one = arm(root, data=f"folder:{root}", num_classes=10, weights=None, checkpoint="x")
    found = evaluate_weights(one, build=ten, device=CPU, workers=0, checkpoint=path, spread=True)
    views = found.detail["spread"]
    assert [view.split(",")[0] for view in views] == ["crop 0.9", "crop 0.95", "crop 1", "crop 0.875", "crop 0.875"]
    assert [view.split(", ")[2] for view in list(views)[3:]] == ["132 px", "188 px"]
    assert found.detail["view"].startswith("crop 0.875")
    vit = models.get("vit_32_1_p16").build(image_size=160, num_classes=10)
    sizes = {view.size for view in neighbours(vit, View(size=160, crop=0.9, interpolation="bicubic", mean=(0,) * 3, std=(1,) * 3), CPU)}
    assert sizes == {160}  # its positions are fixed


def test_real_labels_count_any_of_several_and_leave_out_what_has_none(imagenet: Path, tmp_path: Path) -> None:
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
    assert right(best, torch.tensor([0, 1])).tolist() == [[True, False, False, False, False], [False, False, True, False, False]]
    every = torch.ones(CLASSES, dtype=torch.bool)
    kept = labelled(Result(every, every, torch.arange(CLASSES)), real)
    assert (len(kept.first), CLASSES - len(kept.first)) == (2, 998)
    path.write_text(json.dumps([[1]]))
    with pytest.raises(UsageError, match="does not belong to these images"):
        read_real(f"real:{path}", part)
    with pytest.raises(UsageError, match="cannot be read"):
        read_real(f"real:{tmp_path / 'no.json'}", part)


# Files of weights


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.write_text, (self.path, "executed"))


@pytest.mark.parametrize("way", ["pickle", "torch", "inside"])
def test_a_malicious_pickle_executes_nothing_and_is_refused(way: str, tmp_path: Path) -> None:
    path, mark = tmp_path / "bad.pth", tmp_path / "mark"
    if way == "pickle":
        path.write_bytes(pickle.dumps(Malicious(mark)))
    elif way == "torch":
        torch.save(Malicious(mark), path)
    else:
        torch.save({"state_dict": {"weight": torch.ones(1), "more": Malicious(mark)}}, path)
    with pytest.raises(UsageError, match=r"is refused: only tensors in plain containers are read") as caught:
        checkpoint.weights_from(path)
    assert not mark.exists()
    assert "\n" not in str(caught.value)


def test_files_of_weights_in_their_usual_shapes(tmp_path: Path) -> None:
    state = build().state_dict()
    for name, content in (
        ("plain.pth", state),
        ("timm.pth.tar", {"epoch": 3, "arch": "x", "state_dict": {}, "state_dict_ema": state}),
        ("deit.pth", {"model": {f"module.{key}": value for key, value in state.items()}}),
    ):
        torch.save(content, tmp_path / name)
        found, says = checkpoint.weights_from(tmp_path / name)
        assert found.keys() == state.keys()
        assert says == {}
    from safetensors.torch import save_file

    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "it.safetensors")
    assert checkpoint.weights_from(tmp_path / "it.safetensors")[0].keys() == state.keys()


def test_files_that_are_no_weights_or_others_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no file"):
        checkpoint.weights_from(tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(UsageError, match="is refused"):
        checkpoint.weights_from(tmp_path / "text.pth")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(UsageError, match="not a whole safetensors file"):
        checkpoint.weights_from(tmp_path / "text.safetensors")
    torch.save({"lr": torch.ones(1), "step": 3}, tmp_path / "other.pth")
    with pytest.raises(UsageError, match="holds no state dict"):
        checkpoint.weights_from(tmp_path / "other.pth")
    state = build().state_dict()
    first = next(iter(state))
    for change, words in (
        ({key: value for key, value in state.items() if key != first}, f"lacks {first}"),
        (state | {"extra": torch.ones(1)}, "has besides extra"),
        (state | {first: torch.ones(1)}, f"has in another shape {first}"),
    ):
        with pytest.raises(UsageError, match=words):
            checkpoint.fill(build(), change, where="it")


def test_a_checkpoint_cut_short_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    checkpoint.save(path, {"a": torch.ones(1000)}, {"step": 3})
    assert checkpoint.load(path)[1]["step"] == 3
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(UsageError, match="not a whole safetensors file"):
        checkpoint.load(path)


def test_our_own_files_say_how_to_show_images(tmp_path: Path) -> None:
    splits = datasets.get("digits").open("")
    path = tmp_path / "own.safetensors"
    model = models.get("vit_digits").build(image_size=32, num_classes=10)
    view = {"crop": 0.9, "interpolation": "bilinear", "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    checkpoint.save(path, model.state_dict(), {"model": "vit_digits", "view": view})
    found, shown = from_file(path, lambda: models.get("vit_digits").build(image_size=32, num_classes=10), splits, 32)
    assert shown == View(size=32, crop=0.9, interpolation="bilinear", mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    assert all(torch.equal(a, b) for a, b in zip(found.state_dict().values(), model.state_dict().values(), strict=True))


# What can be asked for


def test_a_folder_that_is_not_imagenet(tmp_path: Path) -> None:
    make_folder(tmp_path, {"val": 1}, classes=2)
    with pytest.raises(UsageError, match="has 2 class folders; 1000 were expected"):
        make(RunConfig(models=(f"{MODEL}@{TAG}",), metrics=("top1",), data=f"imagenet:{tmp_path}"), device="cpu")


def test_tags_belong_to_the_architecture() -> None:
    known = weights(models.get("vit_s16"))
    assert known["augreg_in1k"] == "vit_small_patch16_224.augreg_in1k"
    assert known["deit.fb_in1k"] == "deit_small_patch16_224.fb_in1k"
    assert "augreg_in21k" not in known  # 21,843 classes
    assert weights(models.get("deit_s16"))["vit.augreg_in1k"] == "vit_small_patch16_224.augreg_in1k"


def test_a_model_without_a_tag_is_refused_with_the_list(imagenet: Path) -> None:
    config = RunConfig(models=("vit_s16",), metrics=("top1",), data=f"imagenet:{imagenet}")
    with pytest.raises(UsageError, match=r"has several weights; name one: vit_s16@augreg_in1k, .*vit_s16@deit\.fb_in1k"):
        make(config, device="cpu")
    with pytest.raises(UsageError, match="no weights 'nope'"):
        make(RunConfig(models=("vit_s16@nope",), metrics=("top1",), data=f"imagenet:{imagenet}"), device="cpu")
    found = make(RunConfig(models=("vit_s16@deit.fb_in1k",), metrics=("top1",), data=f"imagenet:{imagenet}"), device="cpu")
    [task] = found.accuracies(lambda task: None)
    assert isinstance(task.arm, AccuracyArm)
    assert task.arm.weights == "deit.fb_in1k"


def test_images_that_cannot_be_read_are_left_out_by_name_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_folder(tmp_path, {"train": 1, "val": 4})
    part = datasets.get("folder").open(str(root)).test
    path = root / "val" / "c0004" / "val_00002.jpg"
    path.write_bytes(path.read_bytes()[:200])
    view = View(size=64, crop=1.0, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3)
    model = timm.create_model("test_resnet", num_classes=10).eval()
    with pytest.raises(UsageError, match=r"1 of 40 images cannot be read \(.*val_00002\.jpg: .*[Tt]runcated"):
        evaluate(model, part, view, device=CPU, workers=0)
    monkeypatch.setattr("bench.training.loader.BROKEN_SHARE", 0.1)
    found = evaluate(model, part, view, device=CPU, workers=0)
    assert len(found.first) == 39
    assert [Path(name).name for name in found.broken] == ["val_00002.jpg"]
    assert found.places is not None
    assert 18 not in found.places.tolist()
    with Image.open(root / "val" / "c0000" / "val_00000.jpg") as image:
        assert image.size == (96, 96)


def test_small_images_are_trained_at_the_size_they_are_tested_at(tmp_path: Path) -> None:
    """A network for 48 pixels on images of 16: enlarged alike, and neither at 16."""
    from bench.training.feed import feed_of
    from bench.training.recipe import recipes
    from bench.training.world import ALONE

    splits = datasets.get("folder").open(str(make_folder(tmp_path, {"train": 20, "val": 2}, classes=2, side=16)))
    assert splits.in_memory
    recipe = recipes.get("small_folder:crop_scale=1-1:crop_ratio=1-1:flip=0:eval_crop=1")
    feed = feed_of(splits, recipe, seed=0, share=ALONE.share(recipe, CPU), device=CPU, image_size=48, workers=0)
    [[(trained, _)]] = feed.steps(0, 1)
    [tested] = shown(splits.test, view_of(recipe, splits, 48))
    assert trained.shape[1:] == tested.shape[1:] == (3, 48, 48)
    every = torch.cat(list(shown(splits.train, view_of(recipe, splits, 48))))
    assert all(any(torch.equal(one, other) for other in every) for one in trained)  # by the same enlargement
