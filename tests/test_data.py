"""Data sets on disk: what is read, how it is split, and the usual trouble in one line each."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

import pytest
import torch

from bench.datasets._pictures import folders
from bench.errors import UsageError
from bench.plugins import datasets
from bench.plugins.recipe import changed, recipes
from bench.training.images.batches import FromDisk, feed_of, host_transform, posterized
from bench.training.images.splits import Pictures, Split, Splits, carve
from bench.training.processes import ALONE

from .pictures import make_folder, picture

CPU = torch.device("cpu")
RECIPE = changed(
    recipes.get("convmixer_imagenet"), batch_size=16, micro_batch=8, image_size=64, epochs=1.0
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("pictures"), {"train": 8, "val": 3})


def test_a_folder_has_three_splits_and_select_is_carved_from_train(root: Path) -> None:
    splits = datasets.get("folder").open(str(root))
    assert [len(part) for part in (splits.train, splits.select, splits.test)] == [76, 4, 30]
    assert datasets.get("folder").num_classes(str(root)) == splits.num_classes == 10
    assert "select 4 of train by seed 0" in splits.name
    assert isinstance(splits.train, Pictures)
    names = {splits.train.name(at) for at in range(76)} | {
        splits.select.name(at) for at in range(4)
    }
    assert len(names) == 80
    assert splits.test.read(7).size == (96, 96)
    assert splits.test.labels.tolist() == [number for number in range(10) for _ in range(3)]
    again = datasets.get("folder").open(str(root))
    assert again.select.labels.tolist() == splits.select.labels.tolist()


def test_three_folders_are_taken_as_they_are(tmp_path: Path) -> None:
    splits = folders(
        str(make_folder(tmp_path, {"train": 2, "val": 1, "test": 1}, classes=3)),
        flag="--data folder",
    )
    assert [len(part) for part in (splits.train, splits.select, splits.test)] == [6, 3, 3]
    assert splits.name.startswith("as in the folder")


def test_small_images_are_held_in_memory_and_are_the_same_pixels(tmp_path: Path) -> None:
    make_folder(tmp_path, {"train": 4, "test": 1}, side=32)
    splits = datasets.get("cifar10").open(str(tmp_path))
    assert isinstance(splits.train, Split)
    assert splits.train.images.shape == (38, 3, 32, 32)
    assert splits.in_memory
    import numpy as np
    from PIL import Image

    first = np.array(Image.open(tmp_path / "test" / "c0000" / "test_00000.jpg"))
    assert torch.equal(splits.test.images[0].permute(1, 2, 0), torch.from_numpy(first))


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # timm keeps the archive open
def test_archives_are_read_like_folders(root: Path, tmp_path: Path) -> None:
    for part in ("train", "val"):
        with tarfile.open(tmp_path / f"{part}.tar", "w") as archive:
            for path in sorted((root / part).iterdir()):
                archive.add(path, arcname=path.name)
    packed, plain = (folders(str(place), flag="--data folder") for place in (tmp_path, root))
    assert packed.test.labels.tolist() == plain.test.labels.tolist()
    assert packed.test.read(5).tobytes() == plain.test.read(5).tobytes()


def test_shards_of_a_webdataset(tmp_path: Path) -> None:
    for name, images in (("train-0", 12), ("train-1", 8), ("val-0", 5)):
        with tarfile.open(tmp_path / f"{name}.tar", "w") as archive:
            for number in range(images):
                buffer = io.BytesIO()
                picture(number, 80).save(buffer, "png")
                for ending, content in (
                    ("png", buffer.getvalue()),
                    ("cls", str(number % 4).encode()),
                ):
                    entry = tarfile.TarInfo(f"{name}_{number:04d}.{ending}")
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))
    splits = datasets.get("wds").open(str(tmp_path))
    assert [len(part) for part in (splits.train, splits.select, splits.test)] == [19, 1, 5]
    assert splits.num_classes == 4
    assert splits.test.read(3).tobytes() == picture(3, 80).tobytes()
    (tmp_path / "train-1.tar").write_bytes(b"no archive")
    with pytest.raises(UsageError, match=r"train-1\.tar cannot be read"):
        datasets.get("wds").open(str(tmp_path))


def test_cifar_from_torchvisions_files(tmp_path: Path) -> None:
    import pickle

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    from torchvision.datasets import CIFAR10

    images = (torch.arange(20 * 3072) % 251).to(torch.uint8).reshape(20, 3072).numpy()
    for name in (
        "data_batch_1",
        "data_batch_2",
        "data_batch_3",
        "data_batch_4",
        "data_batch_5",
        "test_batch",
    ):
        (folder / name).write_bytes(
            pickle.dumps({"data": images, "labels": [at % 10 for at in range(20)]})
        )
    (folder / "batches.meta").write_bytes(
        pickle.dumps({"label_names": [str(number) for number in range(10)]})
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CIFAR10, "_check_integrity", lambda self: True)
        patch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5=None: True)
        splits = datasets.get("cifar10").open(str(tmp_path))
    assert [len(part) for part in (splits.train, splits.select, splits.test)] == [95, 5, 20]
    assert splits.test.images[3, 1, 2, 5] == images[3].reshape(3, 32, 32)[1, 2, 5]


def test_carving_is_the_same_every_time_and_small() -> None:
    part = Split(torch.zeros(1000, 3, 1, 1, dtype=torch.uint8), torch.arange(1000))
    kept, selected, how = carve(part)
    assert len(selected) == 50
    assert sorted([*kept.labels.tolist(), *selected.labels.tolist()]) == list(range(1000))
    assert carve(part)[1].labels.tolist() == selected.labels.tolist()
    assert carve(part, seed=1)[1].labels.tolist() != selected.labels.tolist()
    assert "50 of train by seed 0" in how


# Trouble


def broken_root(root: Path, tmp_path: Path) -> Path:
    shutil.copytree(root, tmp_path / "copy")
    return tmp_path / "copy"


def test_a_flat_validation_folder(root: Path, tmp_path: Path) -> None:
    copy = broken_root(root, tmp_path)
    for path in sorted((copy / "val").rglob("*.jpg")):
        path.rename(copy / "val" / f"{path.parent.name}_{path.name}")
    for path in (copy / "val").iterdir():
        if path.is_dir():
            path.rmdir()
    with pytest.raises(UsageError, match=r"val is flat: .* one folder per class"):
        datasets.get("folder").open(str(copy))


def test_classes_that_differ_or_are_too_few(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has 10 class folders; it must have 1000"):
        datasets.get("imagenet").open(str(root))
    copy = broken_root(root, tmp_path)
    (copy / "val" / "c0003").rename(copy / "val" / "other")
    with pytest.raises(
        UsageError,
        match=r"train/ and val/ differ in their classes: c0003 only in train/, other only in val/",
    ):
        datasets.get("folder").open(str(copy))


def test_nothing_there(tmp_path: Path) -> None:
    for name, argument, words in (
        ("folder", "", "an empty path is not a folder"),
        ("folder", str(tmp_path / "no"), "is not a folder"),
        ("folder", str(tmp_path), "has neither val/ nor test/; found nothing"),
        ("imagenet", str(tmp_path), "has neither val/ nor test/"),
        ("wds", str(tmp_path), r"lacks train\*\.tar"),
    ):
        with pytest.raises(UsageError, match=words):
            datasets.get(name).open(argument)


def test_a_download_without_a_network_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def no_network(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", no_network)
    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", no_network)
    monkeypatch.setattr("torchvision.datasets.imagenette.download_and_extract_archive", no_network)
    for name in ("cifar10", "cifar100", "imagenette"):
        with pytest.raises(
            UsageError, match=r"could not be downloaded \(OSError: no route to host\)"
        ):
            datasets.get(name).open("")
    with pytest.raises(UsageError, match="hfds:nobody/nothing"):
        datasets.get("hfds").open("nobody/nothing")


def damaged(root: Path, tmp_path: Path, images: int) -> tuple[Splits, list[str]]:
    copy = broken_root(root, tmp_path)
    paths = sorted((copy / "train").rglob("*.jpg"))
    hit = [paths[0], paths[40]][:images]
    hit[0].write_bytes(b"")
    if images > 1:
        hit[1].write_bytes(hit[1].read_bytes()[:300])  # truncated
    return datasets.get("folder").open(str(copy)), [path.name for path in hit]


def feed(splits: Splits, workers: int = 0) -> FromDisk:
    found = feed_of(
        splits,
        RECIPE,
        seed=0,
        share=ALONE.share(RECIPE, CPU),
        device=CPU,
        image_size=64,
        workers=workers,
    )
    assert isinstance(found, FromDisk)
    return found


def test_damaged_images_are_counted_and_refused_above_a_small_share(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits, _ = damaged(root, tmp_path, 2)
    with pytest.raises(
        UsageError, match=r"of 76 images cannot be read \(.*jpg.*repair or remove them"
    ):
        list(feed(splits).steps(0, 4))
    monkeypatch.setattr("bench.training.images.loader.BROKEN_SHARE", 0.05)
    one = feed(splits)
    batches = list(one.steps(0, 8))
    assert len(batches) == 8
    assert 1 <= len(one.broken) <= 2
    assert all(torch.isfinite(images).all() for step in batches for images, _ in step)


def test_images_from_disk_are_the_same_whoever_reads_them(root: Path) -> None:
    """Without workers, with two, and from the middle on."""
    splits = datasets.get("folder").open(str(root))
    alone, helped = list(feed(splits).steps(0, 6)), list(feed(splits, workers=2).steps(0, 6))
    later = list(feed(splits).steps(4, 6))
    for one, other in zip(alone + alone[4:], helped + later, strict=True):
        for (images, targets), (others, theirs) in zip(one, other, strict=True):
            assert torch.equal(images, others)
            assert torch.equal(targets, theirs)
    assert alone[0][0][0].shape == (8, 3, 64, 64)
    assert alone[0][0][1].shape == (8, 10)  # mixed targets
    assert not torch.equal(alone[0][0][0], alone[0][1][0])


def test_the_strongest_draws_of_rand_augment_can_be_drawn() -> None:
    """`mstd0.5-inc1` sometimes posterizes to no bits.

    Newer Pillow refuses that, and older ones paint black.
    """
    transform = host_transform(changed(RECIPE, rand_augment="rand-m10-n12-mstd0.5-inc1"), 64)
    posterizing = [
        op
        for step in transform.transforms
        for op in getattr(step, "ops", ())
        if op.name.startswith("Posterize")
    ]
    assert posterizing
    for number in range(30):
        assert torch.as_tensor(transform(picture(number, 96))).shape == (3, 64, 64)
    black = posterized(picture(0, 8), 0)
    assert black.getextrema() == ((0, 0),) * 3
    assert posterized(picture(0, 8), 1).getextrema() != black.getextrema()
