"""Folders in their usual layouts are read; others are refused, with what was found and expected."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest
from PIL import Image
from timm.data import create_dataset

from bench.datasets._layout import list_images, natural
from bench.datasets._pictures import find_splits
from bench.errors import UsageError
from bench.plugins import datasets

from .pictures import make_folder

FLAG = "--data folder:x"
SYNSETS = [f"n{number:08d}" for number in (1443537, 1629819, 9)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_folder(tmp_path, {"train": 6, "val": 2}, classes=3, side=70)


def refused(root: Path, words: str) -> None:
    find_splits.cache_clear()  # one program looks once; tests change what is there
    with pytest.raises(UsageError, match=words):
        find_splits(str(root), FLAG, None, False, None)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # timm's own data set leaves files open
def test_order_and_labels_are_timms(tmp_path: Path) -> None:
    for name in ("b10", "b9", "A", "a1"):
        for image in ("x2.jpg", "x10.png", "X1.JPEG"):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.new("RGB", (2, 2)).save(tmp_path / name / image)
    found, theirs = list_images(tmp_path, FLAG), create_dataset("", root=str(tmp_path)).reader
    assert (
        found.names
        == sorted(theirs.class_to_idx, key=theirs.class_to_idx.__getitem__)
        == ["A", "a1", "b9", "b10"]
    )
    assert found.labels == [label for _, label in theirs.samples]
    names = [found.source.name(at) for at in range(12)]
    assert names == [
        f"{tmp_path.name}/{Path(path).relative_to(tmp_path)}" for path, _ in theirs.samples
    ]
    assert sorted(["m²", "m1"], key=natural) == ["m1", "m²"]  # a digit that is none to int()


def test_what_systems_leave_behind_is_passed_over(root: Path) -> None:
    junk = [
        "train/@eaDir/a.jpg",
        "train/c0000/@eaDir/a.jpg",
        "train/.ipynb_checkpoints/a.jpg",
        "val/__MACOSX/a.jpg",
    ]
    junk += [
        "train/c0000/.ipynb_checkpoints/a.jpg",
        "train/c0001/._a.jpg",
        "train/.DS_Store",
        "val/c0000/Thumbs.db",
        "@eaDir/a.jpg",
    ]
    for path in junk:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / "val" / "c0000" / "val_00000.jpg", root / path)
    found = find_splits(str(root), FLAG, None, False, None)
    assert (found.names, len(found.test)) == (["c0000", "c0001", "c0002"], 6)
    assert found.train is not None
    assert len(found.train) == 18


def tiny_imagenet(root: Path, folder: Path) -> None:
    """Write Tiny ImageNet as it is unpacked.

    There are train/<class>/images, val/images with a list, and test/images without labels.
    """
    annotations = []
    for number, synset in enumerate(SYNSETS):
        images = folder / "train" / synset / "images"
        shutil.copytree(root / "train" / f"c{number:04d}", images)
        (images.parent / f"{synset}_boxes.txt").write_text("0")
        (folder / "val" / "images").mkdir(parents=True, exist_ok=True)
        for path in (root / "val" / f"c{number:04d}").iterdir():
            shutil.copy(path, folder / "val" / "images" / f"{number}_{path.name}")
            annotations.append(f"{number}_{path.name}\t{synset}\t0\t0\t9\t9")
    (folder / "val" / "val_annotations.txt").write_text("\n".join(reversed(annotations)) + "\n")
    shutil.copytree(folder / "val" / "images", folder / "test" / "images")


def test_tiny_imagenet_as_it_is_unpacked(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    tiny_imagenet(root, folder)
    found = find_splits(str(folder), FLAG, None, False, None)
    assert found.names == sorted(SYNSETS)
    assert found.test.labels.tolist() == [1, 1, 2, 2, 0, 0]
    assert found.test.name(0) == "val/images/0_val_00000.jpg"
    assert "test/ has no labels, val/ is tested" in datasets.get("folder").open(str(folder)).name
    (folder / "val" / "val_annotations.txt").unlink()
    refused(folder, "val is flat: .* one folder per class")


def test_images_in_folders_of_a_class_are_refused_by_name(root: Path, tmp_path: Path) -> None:
    (root / "train" / "c0001" / "poodles").mkdir()
    shutil.copy(
        root / "val" / "c0000" / "val_00000.jpg", root / "train" / "c0001" / "poodles" / "a.jpg"
    )
    refused(root, r"train/c0001 has images in further folders \(poodles\).* to train/<class>/")
    shutil.rmtree(root / "train" / "c0001" / "poodles")
    nested = tmp_path / "wrapped" / "train"
    shutil.copytree(root / "train", nested / "train")
    shutil.copytree(root / "val", tmp_path / "wrapped" / "val")
    refused(tmp_path / "wrapped", "train has images in further folders|differ in their classes")
    (tmp_path / "above").mkdir()
    (tmp_path / "wrapped").rename(tmp_path / "above" / "pets")
    refused(
        tmp_path / "above",
        "has neither val/ nor test/; found pets; did you mean .*above/pets",
    )


def test_classes_without_images_or_in_one_split_or_alone(root: Path, tmp_path: Path) -> None:
    other = shutil.copytree(root, tmp_path / "empty")
    for path in (other / "val" / "c0002").iterdir():
        path.rename(path.with_suffix(".xcf"))
    refused(other, r"val/c0002 has no images .*; found val_00000.xcf, .*fill it or remove")
    shutil.rmtree(other / "val" / "c0002")
    refused(other, r"differ in their classes: c0002 only in train/; both must have the same")
    shutil.copy(root / "val" / "c0000" / "val_00000.jpg", other / "val")
    refused(other, r"val has 1 images next to its class folders \(val_00000.jpg")
    for part in ("train", "val"):
        for name in ("c0001", "c0002"):
            shutil.rmtree(root / part / name)
    refused(root, "val has one class, c0000; .* at least two")


def test_archives_of_any_nesting(root: Path, tmp_path: Path) -> None:
    """An archive per class, an archive with all of them, and one with train/ before every class."""
    packed = tmp_path / "packed"
    for part in ("train", "val"):
        (packed / part).mkdir(parents=True)
        for place in (root / part).iterdir():
            with tarfile.open(packed / part / f"{place.name}.tar", "w") as archive:
                archive.add(place, arcname=".")
    with tarfile.open(tmp_path / "packed.tar", "w") as archive:
        for path in sorted((packed / "val").iterdir()):
            archive.add(path, arcname=path.name)
    with tarfile.open(tmp_path / "whole.tar", "w") as archive:
        archive.add(root / "val", arcname="./val")
    plain = list_images(root / "val", FLAG)
    for place in (packed / "val", tmp_path / "packed.tar", tmp_path / "whole.tar"):
        found = list_images(place, FLAG)
        assert (found.names, found.labels) == (plain.names, plain.labels)
        assert found.source.read(4).tobytes() == plain.source.read(4).tobytes()
    with tarfile.open(tmp_path / "val.tar", "w:gz") as archive:
        archive.add(root / "val", arcname=".")
    with pytest.raises(UsageError, match=r"val\.tar cannot be read as an uncompressed \.tar"):
        list_images(tmp_path / "val.tar", FLAG)


# ImageNet


def numbered(root: Path, names: list[str]) -> str:
    for name in names:
        (root / "val" / name).mkdir(parents=True)
        Image.new("RGB", (2, 2)).save(root / "val" / name / "a.png")
    return str(root)


def test_imagenets_folders_need_names_that_give_their_numbers(tmp_path: Path) -> None:
    from bench.datasets.imagenet import synsets

    imagenet = datasets.get("imagenet")
    words = [f"word {number}" for number in range(1000)]
    root = numbered(tmp_path / "words", words)
    with pytest.raises(
        UsageError,
        match=r"has a folder word 0, which is no WordNet id such as n01440764.*classes\.txt",
    ):
        imagenet.check(root)
    mapping = Path(root) / "classes.txt"
    mapping.write_text(
        "\n".join(f"{word}\t{synset}" for word, synset in zip(words[::-1], synsets(), strict=True))
    )
    assert imagenet.open(root).test.labels.tolist() == list(range(999, -1, -1))
    find_splits.cache_clear()
    mapping.write_text("\n".join(words[::-1]))
    assert imagenet.open(root).test.labels.tolist() == list(range(999, -1, -1))
    find_splits.cache_clear()
    mapping.write_text("\n".join(words[1:]))
    with pytest.raises(UsageError, match=r"classes\.txt does not give each .*\(such as word 0\)"):
        imagenet.check(root)
    others = numbered(tmp_path / "others", [f"n{number:08d}" for number in range(1000)])
    with pytest.raises(UsageError, match="n00000000, which is no WordNet id of ImageNet-1k"):
        imagenet.check(others)


def test_imagenet_v2s_folders_are_numbers(tmp_path: Path) -> None:
    root = numbered(tmp_path, [str(number) for number in range(1000)])
    test = datasets.get("imagenet_v2").open(root).test
    assert [Path(test.name(at)).parent.name for at in (0, 1, 2, 10, 999)] == [
        "0",
        "1",
        "2",
        "10",
        "999",
    ]
    assert test.labels.tolist() == list(range(1000))
    with pytest.raises(UsageError, match="folders 0 to 999 are --data imagenet_v2"):
        datasets.get("imagenet").check(root)
