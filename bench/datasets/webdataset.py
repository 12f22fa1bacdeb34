"""`wds:/path`: WebDataset shards on disk, train*.tar and val*.tar or test*.tar.

Each sample is `<key>.<jpg|png|...>` and `<key>.cls`. Images are read by their offset, not as a
stream: a resumed training run must find the image that comes next.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from bench.datasets._layout import ENDINGS
from bench.datasets._pictures import carved, checked_labels, classes_of, pictures_of
from bench.datasets._sources import ArchiveSource, Texts
from bench.errors import UsageError
from bench.files.foreign_errors import refusing
from bench.plugins import Dataset, datasets
from bench.training.images.splits import Pictures, Splits


def load(argument: str) -> Splits:
    """Return the splits of a folder of shards; the validation split is carved from train."""
    return carved(*read(argument))


def read(argument: str) -> tuple[Pictures, Pictures, int]:
    """Return training images, test images and the number of classes."""
    root = Path(argument)
    stamps = []
    for path in sorted(root.glob("*.tar")):
        about = path.stat()
        stamps.append((path.name, about.st_mtime_ns, about.st_size))
    return _read(argument, tuple(stamps))


@lru_cache(maxsize=2)  # checking, counting and opening each ask for it
def _read(
    argument: str, stamps: tuple[tuple[str, int, int], ...]
) -> tuple[Pictures, Pictures, int]:
    root, flag = Path(argument), f"--data wds:{argument}"
    if not argument or not root.is_dir():
        raise UsageError(
            f"{flag}: not a folder; give the one that contains train*.tar and val*.tar"
        )
    train = sorted(root.glob("train*.tar"))
    test = sorted(root.glob("test*.tar")) or sorted(root.glob("val*.tar"))
    if not train or not test:
        missing = "val*.tar or test*.tar" if train else "train*.tar"
        raise UsageError(f"{flag}: {root} lacks {missing}")
    (trained, labels), (tested, others) = shards(train, flag), shards(test, flag)
    known = checked_labels(labels, trained.name, flag)
    classes = classes_of(known, trained.name, flag)
    return (
        pictures_of(trained, known),
        pictures_of(tested, checked_labels(others, tested.name, flag, classes)),
        classes,
    )


@dataclass(frozen=True)
class ShardImage:
    """An image of a shard with its label: which shard, and where its bytes are."""

    shard: int
    start: int
    size: int
    name: str
    label: int


def shards(paths: list[Path], flag: str) -> tuple[ArchiveSource, list[int]]:
    """Return the images of some shards, and their labels.

    Raises UsageError, which names `flag`, if a shard is damaged or a sample incomplete.
    """
    which, starts, sizes, labels = [], [], [], []
    names: list[str] = []
    for number, path in enumerate(paths):
        for sample in _samples(path, number, flag):
            which.append(sample.shard)
            starts.append(sample.start)
            sizes.append(sample.size)
            names.append(sample.name)
            labels.append(sample.label)
    if not names:
        raise UsageError(
            f"{flag}: {paths[0]} contains no samples; each must be <key>.jpg and <key>.cls"
        )
    source = ArchiveSource(
        files=tuple(map(str, paths)),
        which=np.array(which),
        starts=np.array(starts),
        sizes=np.array(sizes),
        names=Texts.of(names),
    )
    return source, labels


def _samples(path: Path, number: int, flag: str) -> Iterator[ShardImage]:
    """Yield the samples of a shard in the order of their images."""
    images: dict[str, tarfile.TarInfo] = {}
    classes: dict[str, int] = {}

    def refuse(words: str) -> UsageError:
        return UsageError(
            f"{flag}: {path} cannot be read ({words}); is the file complete, and an uncompressed "
            ".tar?"
        )

    with refusing(refuse), tarfile.open(path, mode="r:") as archive:
        for member in archive:
            key, dot, ending = member.name.rpartition(".")
            if (dot + ending.lower()) in ENDINGS and member.isreg():
                images[key] = member
            elif ending == "cls" and (content := archive.extractfile(member)) is not None:
                classes[key] = int(content.read(32))
    if incomplete := sorted(images.keys() ^ classes.keys()):
        raise UsageError(
            f"{flag}: {path}: sample {incomplete[0]} lacks its image or its class (<key>.jpg and "
            "<key>.cls)"
        )
    for key, image in images.items():
        yield ShardImage(number, image.offset_data, image.size, image.name, classes[key])


datasets.add(
    Dataset(
        name="wds",
        open=load,
        num_classes=lambda argument: read(argument)[2],
        argument="/path",
        check=read,
        summary="wds:/path, WebDataset shards train*.tar and val*.tar or test*.tar on disk",
    )
)
