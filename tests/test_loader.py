"""Processes that read images: however they are started, they get their data and report errors."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import signal
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

from bench.datasets._pictures import folders
from bench.errors import UsageError
from bench.plugins import datasets
from bench.plugins.recipe import changed, recipes
from bench.training.evaluate import EvaluationImages
from bench.training.images.batches import FromDisk, feed_of
from bench.training.images.loader import loaded, refuse_broken, said
from bench.training.images.showing import View
from bench.training.images.splits import Splits
from bench.training.processes import ALONE

from .pictures import make_folder

CPU = torch.device("cpu")
VIEW = View(size=32, crop=1.0, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3)
RECIPE = changed(recipes.get("convmixer_imagenet"), batch_size=8, micro_batch=8, image_size=32)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("pictures"), {"train": 12, "val": 4}, classes=2)


def packed(root: Path, folder: Path) -> Splits:
    for part in ("train", "val"):
        with tarfile.open(folder / f"{part}.tar", "w") as archive:
            archive.add(root / part, arcname=".")
    return folders(str(folder), flag="--data folder")


def read(splits: Splits, workers: int) -> list[torch.Tensor]:
    """Two steps of a training and the test images, as they come."""
    feed = feed_of(
        splits,
        RECIPE,
        seed=0,
        share=ALONE.share(RECIPE, CPU),
        device=CPU,
        image_size=32,
        workers=workers,
    )
    assert isinstance(feed, FromDisk)
    trained = [images for step in feed.steps(0, 2) for images, _ in step]
    return [
        *trained,
        *(
            images
            for images, _ in loaded(
                EvaluationImages(splits.test, VIEW), workers=workers, device=CPU, batch_size=4
            )
        ),
    ]


@pytest.mark.parametrize("way", ["fork", "forkserver", "spawn"])
def test_images_are_the_same_however_processes_are_started(
    way: str, root: Path, tmp_path: Path
) -> None:
    """The default was fork until Python 3.13 and is forkserver since.

    The bench's own workers always have forkserver.
    """
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method(way, force=True)
    try:
        splits = packed(root, tmp_path)
        splits.test.read(0)  # what is open in this process must not be shared with the others
        for one, other in zip(read(splits, 0), read(splits, 1), strict=True):
            assert torch.equal(one, other)
    finally:
        multiprocessing.set_start_method(before, force=True)


def test_every_source_is_pickled_and_reads_the_same(root: Path, tmp_path: Path) -> None:
    for splits in (
        folders(str(root), flag="--data folder"),
        packed(root, tmp_path),
        datasets.get("wds").open(str(shards(tmp_path))),
    ):
        splits.train.read(1)
        again = pickle.loads(pickle.dumps(splits.train))
        assert again.read(1).tobytes() == splits.train.read(1).tobytes()
        assert again.name(1) == splits.train.name(1)


def shards(folder: Path, labels: tuple[str, ...] = ("0", "1", "1", "0")) -> Path:
    """Twenty images in train.tar with these labels in turn, four in val.tar."""
    at = folder / f"shards-{len(list(folder.iterdir()))}"
    at.mkdir()
    for name, images, classes in (("train", 20, labels), ("val", 4, ("0", "1"))):
        with tarfile.open(at / f"{name}.tar", "w") as archive:
            for number in range(images):
                buffer = io.BytesIO()
                Image.new("RGB", (80, 80), (number, 0, 0)).save(buffer, "png")
                for ending, content in (
                    ("png", buffer.getvalue()),
                    ("cls", classes[number % len(classes)].encode()),
                ):
                    entry = tarfile.TarInfo(f"{number:04d}.{ending}")
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))
    return at


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (
            ("0", "-1"),
            r"the label of train\.tar/0001\.png is -1; it must be a number from 0",
        ),
        (
            ("0", "1", str(10**18)),
            r"0002\.png is 1000000000000000000, but no training image is of class 2; "
            r"number the 3 classes from 0 to 2",
        ),
        (("0", "1", str(10**30)), r"but no training image is of class 2"),
        (("0",), "all 20 training images are of one class"),
        (("0", "2"), "no training image is of class 1"),
        (("0", "cat"), r"train\.tar cannot be read \(invalid literal"),
    ],
    ids=["negative", "10^18", "beyond int64", "one class", "gap", "text"],
)
def test_labels_that_are_no_class_numbers_are_refused_by_name(
    labels: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=words):
        datasets.get("wds").check(str(shards(tmp_path, labels)))


class Killed(Dataset[int]):
    """Ends the process that asks for the second image."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, at: int) -> int:
        if at == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return at


class Lost:
    """A transform that fails on every image."""

    def __call__(self, image: object) -> object:
        raise KeyError("colour")


def test_an_error_in_another_process_arrives_with_its_cause(root: Path) -> None:
    shown = EvaluationImages(folders(str(root), flag="--data folder").test, VIEW)
    shown.transform = Lost()
    with pytest.raises(
        UsageError,
        match=r"^--data: val/c0000/val_00000\.jpg cannot be resized \(KeyError: 'colour'\)$",
    ):
        list(loaded(shown, workers=1, device=CPU, batch_size=1))
    with pytest.raises(
        RuntimeError, match=r"ended with exit code -9 \(SIGKILL|is killed by signal: Killed"
    ):
        list(loaded(Killed(), workers=1, device=CPU, batch_size=1))
    assert said(ValueError("one line")) == "one line"


def test_too_many_unreadable_images_are_named_with_the_reason(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"train": 2, "val": 2}, classes=2)
    Image.fromarray(np.zeros((80, 80), dtype=np.float32)).save(root / "val" / "c0001" / "a.tif")
    test = folders(str(root), flag="--data folder").test
    with pytest.raises(
        UsageError,
        match=r"1 of 5 images cannot be read "
        r"\(val/c0001/a\.tif: its pixels are floating-point numbers",
    ):
        refuse_broken([2], test)
