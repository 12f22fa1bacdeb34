"""Published weights on an image folder: the same answers as timm's own model, transform and order give."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from PIL import Image

from bench.config import RunConfig
from bench.errors import UsageError
from bench.plan import make
from bench.plugins import datasets, models
from bench.record import AccuracyArm
from bench.training.evaluate import CLASSES, evaluate_weights, validation_folder, weights

MODEL, TAG = "timm:test_resnet", "r160_in1k"  # timm's smallest residual network, 160 pixels


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A thousand class folders with one real image each (the digits again), as JPEG."""
    root = tmp_path_factory.mktemp("imagenet")
    splits = datasets.get("digits").load("")
    images = (splits.train.images[:CLASSES] * 255).byte().permute(0, 2, 3, 1).numpy()
    for number, image in enumerate(images):
        folder = root / "val" / f"n{number:08d}"
        folder.mkdir(parents=True)
        Image.fromarray(image).save(folder / "one.jpg", quality=95)
    return root


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), path)
    return path


def test_the_same_images_are_right_as_with_timm_alone(imagenet: Path, checkpoint: Path) -> None:
    arm = AccuracyArm(
        model=MODEL, image_size=160, num_classes=CLASSES, data=f"imagenet:{imagenet}", split="validation", transform="timm's", weights=TAG
    )
    found = evaluate_weights(arm, str(imagenet), device="cpu", progress=lambda text: None, file=str(checkpoint))
    model = timm.create_model("test_resnet")
    model.load_state_dict(torch.load(checkpoint, weights_only=True))
    model.eval()
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=model), is_training=False)
    folders = sorted((imagenet / "val").iterdir())
    images = torch.stack([transform(Image.open(folder / "one.jpg").convert("RGB")) for folder in folders])
    with torch.inference_mode():
        best = torch.cat([model(batch).topk(5).indices for batch in images.split(100)])
    labels = torch.arange(CLASSES)[:, None]
    assert torch.equal(found.correct, (best == labels)[:, 0])
    assert found.top5_correct == int((best == labels).any(dim=1).sum())


def test_a_folder_that_is_not_imagenet(tmp_path: Path) -> None:
    (tmp_path / "val" / "cat").mkdir(parents=True)
    with pytest.raises(UsageError, match="has 1 class folders; ImageNet has 1000"):
        validation_folder(str(tmp_path))


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
    [task] = make(RunConfig(models=("vit_s16@deit.fb_in1k",), metrics=("top1",), data=f"imagenet:{imagenet}"), device="cpu")
    assert isinstance(task.arm, AccuracyArm)
    assert task.arm.weights == "deit.fb_in1k"
