"""`wds:/path`: WebDataset shards on disk, train*.tar and val*.tar or test*.tar, each sample `<key>.<jpg|png|...>` and `<key>.cls`.

Read by place and not as a stream: a training that was killed has to find the image that comes next.
"""

from __future__ import annotations

import tarfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from bench.datasets._layout import ENDINGS
from bench.datasets._pictures import carved, checked_labels, classes_of, pictures_of
from bench.datasets._sources import Stretches, Texts
from bench.errors import UsageError, one_line
from bench.plugins import Dataset, datasets
from bench.training.images.splits import Pictures, Splits


def load(argument: str) -> Splits:
    """All shards of a folder; select is carved from train."""
    return carved(*read(argument))


def read(argument: str) -> tuple[Pictures, Pictures, int]:
    """Training and test images, and how many classes there are."""
    root = Path(argument)
    stamps = tuple(
        (path.name, path.stat().st_mtime_ns, path.stat().st_size)
        for path in sorted(root.glob("*.tar"))
    )
    return _read(argument, stamps)


@lru_cache(maxsize=2)  # checking, counting and opening all ask
def _read(
    argument: str, stamps: tuple[tuple[str, int, int], ...]
) -> tuple[Pictures, Pictures, int]:
    root, flag = Path(argument), f"--data wds:{argument}"
    if not argument or not root.is_dir():
        raise UsageError(f"{flag}: not a folder; give the one that holds train*.tar and val*.tar")
    train, test = (
        sorted(root.glob("train*.tar")),
        sorted(root.glob("test*.tar")) or sorted(root.glob("val*.tar")),
    )
    if not train or not test:
        raise UsageError(
            f"{flag}: {root} lacks {'train*.tar' if not train else 'val*.tar or test*.tar'}"
        )
    (trained, labels), (tested, others) = shards(train, flag), shards(test, flag)
    known = checked_labels(labels, trained.name, flag)
    classes = classes_of(known, trained.name, flag)
    return (
        pictures_of(trained, known),
        pictures_of(tested, checked_labels(others, tested.name, flag, classes)),
        classes,
    )


def shards(paths: list[Path], flag: str) -> tuple[Stretches, list[int]]:
    """The samples of some shards: where each image lies in which file, and its label."""
    places: list[tuple[int, int, int, str]] = []
    labels: list[int] = []
    for number, path in enumerate(paths):
        images: dict[str, tuple[int, int, int, str]] = {}
        classes: dict[str, int] = {}
        try:
            with tarfile.open(path, mode="r:") as archive:
                for member in archive:
                    key, dot, ending = member.name.rpartition(".")
                    if (dot + ending.lower()) in ENDINGS and member.isreg():
                        images[key] = (number, member.offset_data, member.size, member.name)
                    elif ending == "cls" and (content := archive.extractfile(member)) is not None:
                        classes[key] = int(content.read(32))
        except (tarfile.TarError, ValueError, OSError) as error:
            raise UsageError(
                f"{flag}: {path} cannot be read ({one_line(error)}); is the file whole, and an uncompressed .tar?"
            ) from None
        if images.keys() != classes.keys():
            odd = sorted(images.keys() ^ classes.keys())[0]
            raise UsageError(
                f"{flag}: {path}: sample {odd} lacks its image or its class (<key>.jpg and <key>.cls)"
            )
        places += images.values()
        labels += [classes[key] for key in images]
    if not places:
        raise UsageError(
            f"{flag}: {paths[0]} has no samples in it; <key>.jpg and <key>.cls are expected"
        )
    which, starts, sizes = (np.array([place[field] for place in places]) for field in range(3))
    return Stretches(
        tuple(map(str, paths)), which, starts, sizes, Texts.of(place[3] for place in places)
    ), labels


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
