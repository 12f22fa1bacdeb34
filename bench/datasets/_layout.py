"""Which image belongs to which class, by the folders it lies in; what is laid out in no way that is certain is refused.

    train/<class>/any.jpg, train/<class>/images/any.jpg (Tiny ImageNet's train), the same in one .tar, or <class>.tar in train/
    val/images/any.jpg with val/val_annotations.txt (Tiny ImageNet's val)

What systems leave behind (`.DS_Store`, `._x.jpg`, `@eaDir`, `__MACOSX`, `.ipynb_checkpoints` ...) is passed over.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.datasets._sources import Files, Stretches, Texts
from bench.errors import UsageError, one_line

ENDINGS = (
    ".jpg",
    ".jpeg",
    ".png",
    ".webp",
    ".bmp",
    ".gif",
    ".ppm",
    ".pgm",
    ".tif",
    ".tiff",
    ".jp2",
    ".avif",
    ".heic",
    ".heif",
)
"""Pictures by their names. Those that Pillow cannot read here are then named as unreadable, and not passed over in silence."""
LEFT_BEHIND = {"__MACOSX", "__pycache__", "lost+found", "$RECYCLE.BIN", "System Volume Information"}
ANNOTATIONS = "val_annotations.txt"
"""Tiny ImageNet's list of its validation images: name, class, and a box, separated by tabs."""


@dataclass(frozen=True)
class Listed:
    """One split: `labels[i]` is the place in `names` of the class of the source's image i."""

    source: Files | Stretches
    labels: list[int]
    names: list[str]


def natural(text: str) -> tuple[list[str | int], str]:
    """timm's order of names, numbers by their value; the last word where that is equal is the text itself."""
    return [
        int(part) if number % 2 else part
        for number, part in enumerate(re.split(r"(\d+)", text.lower()))
    ], text


def listed(place: Path, flag: str) -> Listed:
    """The images of a split's folder or archive with their classes; UsageError where it is laid out in no known way."""
    if place.is_file():
        return _in_archives([place], flag, place, classes_by_archive=False)
    below = folders_of(place)
    if not below and (archives := sorted(place.glob("*.tar"), key=lambda path: natural(path.name))):
        return _in_archives(archives, flag, place, classes_by_archive=True)
    if (place / ANNOTATIONS).is_file():
        return _annotated(place, flag)
    if is_flat(place):
        raise UsageError(
            f"{flag}: {place} is flat: its images lie in it without a folder per class; sort them into one folder per class"
        )
    paths = list(_images_below(place))
    if stray := [path for path in paths if "/" not in path]:
        raise UsageError(
            f"{flag}: {place} has {len(stray)} images beside its class folders ({stray[0]} ...); move them into their classes"
        )
    by_path = _classes_of(paths, place, flag)
    if empty := [name for name in below if name not in by_path.values()]:
        raise UsageError(
            f"{flag}: {place / empty[0]} has no images, {', '.join(ENDINGS[:4])} ...; it has {some(place / empty[0])}; "
            "fill it or remove the folder"
        )
    ordered = sorted(paths, key=natural)
    names = sorted(below, key=natural)
    number = {name: at for at, name in enumerate(names)}
    return Listed(
        Files(str(place), Texts.of(ordered)), [number[by_path[path]] for path in ordered], names
    )


def folders_of(place: Path) -> list[str]:
    """The folders in one, without what systems leave behind."""
    return sorted(
        entry.name for entry in os.scandir(place) if entry.is_dir() and not _left_behind(entry.name)
    )


def is_flat(place: Path) -> bool:
    """Whether a folder's images lie in it, or in a folder `images`, without one per class."""
    return place.is_dir() and folders_of(place) in ([], ["images"]) and not any(place.glob("*.tar"))


def some(place: Path) -> str:
    """What lies in a folder, as far as a line has room for it."""
    names = sorted(path.name for path in place.iterdir())
    return ", ".join(names[:4]) + (" ..." if len(names) > 4 else "") if names else "nothing"


def _left_behind(name: str) -> bool:
    return name.startswith((".", "@")) or name in LEFT_BEHIND


def _is_image(path: str) -> bool:
    return path.lower().endswith(ENDINGS) and not any(
        _left_behind(part) for part in path.split("/")
    )


def _images_below(place: Path) -> Iterator[str]:
    """Every image below a folder, by its path from there with slashes."""
    for root, folders, files in os.walk(place, followlinks=True):
        folders[:] = [name for name in folders if not _left_behind(name)]
        prefix = Path(root).relative_to(place).as_posix()
        for name in files:
            if _is_image(name):
                yield name if prefix == "." else f"{prefix}/{name}"


def _classes_of(paths: Iterable[str], place: Path, flag: str) -> dict[str, str]:
    """The class of every image `<class>/name` or, where all are like that, `<class>/images/name`; UsageError else."""
    found = {path: path.partition("/")[0] for path in paths}
    folders: dict[str, set[str]] = {}
    for path, name in found.items():
        folders.setdefault(name, set()).add(path.partition("/")[2].rpartition("/")[0])
    kinds = set.union(*folders.values()) if folders else set()
    if len(kinds) <= 1:
        return found
    name = min((name for name, below in folders.items() if below - {""}), key=natural)
    inner = sorted(one for one in folders[name] if one)
    shown = ", ".join(inner[:3]) + (" ..." if len(inner) > 3 else "")
    raise UsageError(
        f"{flag}: {place / name} has images in folders of its own ({shown}), so that their class is not certain; "
        f"images have to lie in {place.name}/<class>/"
    )


def _annotated(place: Path, flag: str) -> Listed:
    """Tiny ImageNet's validation images, whose classes stand in a list."""
    lines = [
        line.split("\t")
        for line in (place / ANNOTATIONS).read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    if any(len(line) < 2 for line in lines):
        raise UsageError(
            f"{flag}: {place / ANNOTATIONS} has lines that are not a file name, a tab and a class"
        )
    classes = {line[0]: line[1] for line in lines}
    paths = sorted(_images_below(place), key=natural)
    names = sorted(set(classes.values()), key=natural)
    number = {name: at for at, name in enumerate(names)}
    if unknown := [path for path in paths if os.path.basename(path) not in classes]:
        raise UsageError(
            f"{flag}: {place / ANNOTATIONS} says nothing of {unknown[0]}; it has a line for each image"
        )
    return Listed(
        Files(str(place), Texts.of(paths)),
        [number[classes[os.path.basename(path)]] for path in paths],
        names,
    )


@dataclass(frozen=True)
class Member:
    """One file of an archive, or of an archive in it: its path, and where its bytes lie."""

    path: str
    archive: int
    start: int
    size: int


def _in_archives(
    archives: list[Path], flag: str, place: Path, *, classes_by_archive: bool
) -> Listed:
    """The images of uncompressed archives: of one with class folders or class archives in it, or of one per class."""
    members: list[Member] = []
    for number, path in enumerate(archives):
        prefix = f"{path.stem}/" if classes_by_archive else ""
        try:
            members += [one for one in _members(path, number, prefix) if _is_image(one.path)]
        except (tarfile.TarError, OSError) as error:
            raise UsageError(
                f"{flag}: {path} cannot be read as an uncompressed .tar ({one_line(error)}); is the file whole?"
            ) from None
    paths = {one.path: one for one in members}
    inner = _without_common(list(paths))
    if not paths or any("/" not in path for path in inner.values()):
        raise UsageError(
            f"{flag}: {place} has {'images without a folder per class' if paths else 'no images'} in it; <class>/name.jpg is expected"
        )
    by_path = _classes_of(inner.values(), place, flag)
    names = sorted(set(by_path.values()), key=natural)
    label = {name: at for at, name in enumerate(names)}
    ordered = sorted(paths, key=natural)
    chosen = [paths[path] for path in ordered]
    source = Stretches(
        files=tuple(map(str, archives)),
        which=np.array([one.archive for one in chosen]),
        starts=np.array([one.start for one in chosen]),
        sizes=np.array([one.size for one in chosen]),
        names=Texts.of(ordered),
    )
    return Listed(source, [label[by_path[inner[path]]] for path in ordered], names)


def _members(path: Path, number: int, prefix: str) -> Iterator[Member]:
    """Every regular file of an archive; archives in it are looked into, each a folder of its name."""
    with tarfile.open(path, mode="r:") as archive:
        for member in archive:
            if not member.isreg() or member.issparse():
                continue
            name = prefix + member.name.removeprefix("./")
            if not name.endswith(".tar"):
                yield Member(name, number, member.offset_data, member.size)
                continue
            inside = archive.extractfile(member)
            assert inside is not None
            with tarfile.open(fileobj=inside, mode="r:") as inner:
                for one in inner:
                    if one.isreg() and not one.issparse():
                        start = member.offset_data + one.offset_data
                        yield Member(
                            f"{name.removesuffix('.tar')}/{one.name.removeprefix('./')}",
                            number,
                            start,
                            one.size,
                        )


def _without_common(paths: list[str]) -> dict[str, str]:
    """Each path without the folders that all of them lie in: an archive of `train/` has that before every class."""
    inner = {path: path for path in paths}
    while inner and len(firsts := {path.partition("/")[0] for path in inner.values()}) == 1:
        [first] = firsts
        if any(path.count("/") < 2 for path in inner.values()):
            break
        inner = {path: short[len(first) + 1 :] for path, short in inner.items()}
    return inner
