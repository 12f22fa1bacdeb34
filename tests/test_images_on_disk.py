"""Images on disk through the plain command line, with the processes that read them.

Train, kill, resume, evaluate, refuse.
"""

from __future__ import annotations

import json
import os
import signal
import tarfile
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from timm.data import create_dataset, create_transform, resolve_data_config

from bench.errors import UsageError
from bench.plugins import datasets
from bench.training import checkpoint

from .pictures import make_folder, make_imagenet, make_varied
from .program import assert_one_line, bench, called, start

PATIENCE = 240.0
"""Seconds for something that takes a few on a machine that does nothing else."""


def lines(results: Path) -> list[dict[str, Any]]:
    """The log of the only training."""
    [log] = results.glob("*/logs/*.jsonl")
    return [json.loads(line) for line in log.read_text().splitlines()]


def of_session(leader: int) -> list[int]:
    """The living processes that a program has started, its leader included (Linux)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] not in "ZX":
            found.append(int(stat.parent.name))
    return found


def until(seen: Any, what: str) -> None:
    """Wait for something that has to come."""
    end = time.monotonic() + PATIENCE
    while not seen():
        assert time.monotonic() < end, what
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_a_folder_of_300_jpegs_is_trained_killed_resumed_and_tested(tmp_path: Path) -> None:
    """Train with the shortened default recipe of folders.

    Only the program itself is killed, and no process that it started survives.
    """
    make_varied(tmp_path / "photos", {"train": 80, "val": 20}, longest=160)
    command = [
        "run",
        "--metrics",
        "top1",
        "--models",
        "convmixer_digits",
        "--data",
        "folder:photos",
    ]
    command += ["--recipe", "small_folder:epochs=4", "--results", "out"]
    run = start(*command, cwd=tmp_path)
    until(
        lambda: list(tmp_path.glob("out/*/checkpoints/*.safetensors")) or run.poll() is not None,
        "no checkpoint came",
    )
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    until(lambda: not of_session(run.pid), f"these outlive the program: {of_session(run.pid)}")
    ended = bench(*command, cwd=tmp_path, limit=PATIENCE)
    assert ended.code == 0, ended
    assert "small_folder:epochs=4 at 32 pixels" in ended.out
    log = lines(tmp_path / "out")
    started = [line["step"] for line in log if line["event"] == "start"]
    assert len(started) == 2
    assert 0 < started[1] < log[-2]["step"] == 28
    assert log[-1]["event"] == "end"
    assert log[-1]["images"] == 60
    assert f"{100 * log[-1]['top1']:.1f}" in ended.out


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ["imagenette", "tars", "wds", "hfds"])
def test_every_kind_of_data_on_disk_is_trained_and_tested(kind: str, tmp_path: Path) -> None:
    """Ninety images of three classes; ten classes, in its layout, for Imagenette.

    The Hugging Face folder needs `datasets`.
    """
    root = make_folder(
        tmp_path / "plain",
        {"train": 30, "test" if kind == "hfds" else "val": 4},
        classes=10 if kind == "imagenette" else 3,
    )
    if kind == "hfds":
        pytest.importorskip("datasets")
    elif kind != "imagenette":
        root = (in_shards if kind == "wds" else in_tars)(root, tmp_path / kind)
    name = "folder" if kind == "tars" else kind
    command = [
        "run",
        "--metrics",
        "top1",
        "--models",
        "convmixer_digits",
        "--data",
        f"{name}:{root}",
        "--recipe",
        "small_folder:epochs=1",
    ]
    ended = bench(*command, "--results", "out", cwd=tmp_path, limit=PATIENCE)
    assert ended.code == 0, ended
    assert lines(tmp_path / "out")[-1]["images"] == (40 if kind == "imagenette" else 12)


def in_tars(root: Path, folder: Path) -> Path:
    """train.tar and val.tar with the class folders in them."""
    folder.mkdir()
    for part in ("train", "val"):
        with tarfile.open(folder / f"{part}.tar", "w") as archive:
            archive.add(root / part, arcname=part)
    return folder


def in_shards(root: Path, folder: Path) -> Path:
    """The same as WebDataset shards."""
    folder.mkdir()
    for part in ("train", "val"):
        with tarfile.open(folder / f"{part}-0.tar", "w") as archive:
            for at, path in enumerate(sorted((root / part).rglob("*.jpg"))):
                archive.add(path, arcname=f"{at:04d}.jpg")
                label = str(int(path.parent.name[1:])).encode()
                entry = tarfile.TarInfo(f"{at:04d}.cls")
                entry.size = len(label)
                archive.addfile(entry, BytesIO(label))
    return folder


def prototypes(network: Any, images: torch.Tensor) -> None:
    """Make the classifier of a random network the nearest of one noisy prototype per image.

    Then about half of the images are right.

    A random classifier gives all images one class, and equal counts would show nothing.
    """
    with torch.inference_mode():
        features = torch.cat(
            [
                network.forward_head(network.forward_features(part), pre_logits=True)
                for part in images.split(50)
            ]
        )
    noise = features.std(dim=0) * torch.randn(
        features.shape, generator=torch.Generator().manual_seed(0)
    )
    for halvings in range(10):
        noisy = features + noise / 2**halvings
        nearest = (features @ noisy.T - noisy.square().sum(dim=1) / 2).argmax(dim=1)
        if (nearest == torch.arange(len(images))).float().mean() > 0.3:
            break
    classifier = network.get_classifier()
    with torch.no_grad():
        classifier.weight.copy_(noisy)
        classifier.bias.copy_(-noisy.square().sum(dim=1) / 2)


def against_timm(root: Path, tmp_path: Path, names: dict[str, str], *, says_view: bool) -> None:
    """`bench eval --checkpoint` counts what loops over timm's own parts count, image by image.

    The counts are neither 0 nor all.

    `names` maps ours to timm's. With `says_view` the file says how images are shown, as the bench's
    own files do; else it is a bare state dict, for which the architecture's own settings are the
    default.
    """
    for name, timms in names.items():
        torch.manual_seed(0)
        network = timm.create_model(timms).eval()
        settings = resolve_data_config({}, model=network)
        source = create_dataset(
            "", root=str(root / "val"), split="validation", transform=create_transform(**settings)
        )
        images = torch.stack([image for image, _ in source])
        labels = torch.tensor([label for _, label in source])
        prototypes(network, images)
        file = tmp_path / f"{timms}.safetensors"
        view = {
            "crop": settings["crop_pct"],
            **{key: settings[key] for key in ("interpolation", "mean", "std")},
        }
        checkpoint.save(
            file, network.state_dict(), {"model": name, "view": view} if says_view else {}
        )
        ended = bench(
            *(
                "eval",
                "--checkpoint",
                file,
                "--model",
                name,
                "--data",
                f"imagenet:{root}",
                "--no-spread",
            ),
            *("--image-size", str(settings["input_size"][-1]), "--results", timms),
            cwd=tmp_path,
            limit=PATIENCE,
        )
        assert ended.code == 0, ended
        [arrays] = tmp_path.glob(f"{timms}/*/records/*.npz")
        with torch.inference_mode():
            best = torch.cat(
                [network(part).topk(5).indices for part in images.split(16)]
            )  # as many at a time as the bench takes
        right = best == labels[:, None]
        assert 100 < right[:, 0].sum() < 990
        with np.load(arrays) as kept:
            assert torch.equal(torch.from_numpy(kept["correct"]), right[:, 0])
            assert torch.equal(torch.from_numpy(kept["top5_correct"]), right.any(dim=1))
        assert f"{right[:, 0].float().mean():.1%}".removesuffix("%") in ended.out


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # timm's own data set leaves files open
def test_weights_on_imagenets_layout_count_what_timms_parts_count(tmp_path: Path) -> None:
    root = make_imagenet(tmp_path / "imagenet", side=100)
    against_timm(root, tmp_path, {"timm:test_vit": "test_vit"}, says_view=True)


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_four_families_on_imagenets_layout_count_what_timms_parts_count(tmp_path: Path) -> None:
    """Bare state dicts at each architecture's own crop, mean and standard deviation.

    About a quarter of an hour on two cores.
    """
    names = {
        "resnet18": "resnet18",
        "vit_ti16": "vit_tiny_patch16_224",
        "mixer_s32": "mixer_s32_224",
    }
    names["convmixer_1024_20"] = "convmixer_1024_20_ks9_p14"
    against_timm(make_imagenet(tmp_path / "imagenet", side=100), tmp_path, names, says_view=False)


def test_what_cannot_be_trained_is_refused_in_one_line(tmp_path: Path) -> None:
    """A single class, or no readable image, is refused at the start.

    A single broken image is refused when it is reached.
    """
    command = [
        "run",
        "--metrics",
        "top1",
        "--models",
        "convmixer_digits",
        "--results",
        "out",
        "--data",
    ]
    make_folder(tmp_path / "alone", {"train": 3, "val": 1}, classes=1)
    assert_one_line(
        called(*command, "folder:alone", cwd=tmp_path),
        "alone/val has one class, c0000",
        "at least two",
    )
    make_folder(tmp_path / "broken", {"train": 40, "val": 1}, classes=2)
    [path] = (tmp_path / "broken").rglob("c0001/train_00037.jpg")
    path.write_bytes(b"no image")
    found = bench(*command, "folder:broken", cwd=tmp_path, limit=PATIENCE)
    assert_one_line(
        found,
        "1 of 76 images cannot be read (train/c0001/train_00037.jpg: cannot identify image file",
        "repair or remove",
    )


def test_images_of_which_none_can_be_read_are_refused_when_they_are_opened(tmp_path: Path) -> None:
    for path in make_folder(tmp_path, {"train": 12, "val": 1}, classes=2).rglob("train_*.jpg"):
        path.write_bytes(b"no image")
    with pytest.raises(
        UsageError,
        match=r"none of the first 20 images can be read \(train/c0000/train_0.*cannot identify",
    ):
        datasets.get("folder").open(str(tmp_path))
