"""Small images are decoded once: the cache, its renewal, and the name of the data in records."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.datasets import _image_cache, cifar
from bench.datasets._image_cache import cached_images
from bench.datasets._sources import FileSource, Texts
from bench.training.images.splits import Splits

from .pictures import make_folder, picture


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "photos", {"train": 6, "test": 2}, side=32)


def source(root: Path) -> FileSource:
    return FileSource(
        str(root),
        Texts.of(sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))),
    )


def opened(folder: Path) -> Splits:
    return cifar.load("cifar10", 10, str(folder))


def test_the_second_start_decodes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(folder)

    def decoded(*_: object) -> None:
        raise AssertionError("it was decoded again")

    monkeypatch.setattr(_image_cache, "decoded", decoded)
    second = opened(folder)
    assert second.train.images.equal(first.train.images)
    assert second.test.labels.equal(first.test.labels)
    assert (second.mean, second.std) == (first.mean, first.std)


def test_a_changed_picture_is_decoded_anew_and_the_old_file_goes(folder: Path, cache: Path) -> None:
    before = opened(folder)
    changed = next((folder / "test").rglob("*.jpg"))
    picture(17, 32).save(changed, quality=95)
    assert not opened(folder).test.images.equal(before.test.images)
    assert len(list(cache.rglob("*.npy"))) == 2


def test_a_damaged_file_of_the_cache_is_no_obstacle(folder: Path, cache: Path) -> None:
    before = opened(folder)
    for path in cache.rglob("*.npy"):
        path.write_bytes(path.read_bytes()[:200])
    assert opened(folder).train.images.equal(before.train.images)


def test_without_a_place_for_it_pictures_are_decoded_each_time(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = opened(folder)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert opened(folder).train.images.equal(before.train.images)


def test_what_cannot_be_read_is_remembered(folder: Path) -> None:
    broken = sorted((folder / "train").rglob("*.jpg"))[3]
    broken.write_bytes(b"no picture")
    found, again = (cached_images(source(folder / "train"), 32) for _ in range(2))
    assert found is not None and again is not None
    assert found.unreadable == again.unreadable == [3]


def test_one_of_another_size_is_kept_by_nobody(folder: Path) -> None:
    picture(3, 48).save(next((folder / "train").rglob("*.jpg")), quality=95)
    assert cached_images(source(folder / "train"), 32) is None


def test_what_a_folder_contains_does_not_depend_on_where_it_lies(
    folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "elsewhere")
    here, there = (
        cached_images(source(root / "train"), 32) for root in (folder, tmp_path / "elsewhere")
    )
    assert here is not None and there is not None
    assert here.digest == there.digest


def test_records_call_known_images_by_their_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cifar.identity("cifar10", 10, "") == ""
    assert cifar.identity("cifar10", 10, str(folder)) == str(folder)
    found = [cached_images(source(folder / name), 32) for name in ("train", "test")]
    train, test = (one.digest for one in found if one is not None)
    monkeypatch.setitem(cifar.CONTENTS, (train, test), "known")
    cifar.identity.cache_clear()
    assert cifar.identity("cifar10", 10, str(folder)) == "known"
