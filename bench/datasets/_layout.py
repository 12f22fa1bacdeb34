"""Find out which image belongs to which class by the folders it lies in; refuse any unclear layout.

Known layouts of a split:

    train/<class>/any.jpg
    train/<class>/images/any.jpg                      Tiny ImageNet's train
    val/images/any.jpg and val/val_annotations.txt    Tiny ImageNet's val
    train.tar                                         an archive of either of the first two
    train/<class>.tar                                 an archive per class

What operating systems leave behind is skipped: `.DS_Store`, `._x.jpg`, `@eaDir`, `__MACOSX` etc.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bench.datasets._sources import ArchiveSource, FileSource, Texts
from bench.errors import UsageError
from bench.files.foreign_errors import refusing, text_of

LARGEST_LIST = 256 << 20
"""Largest size in bytes of a list of images and their classes."""
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
"""Extensions of images. An image that Pillow cannot read is then reported, not silently skipped."""
LEFT_BEHIND = {"__MACOSX", "__pycache__", "lost+found", "$RECYCLE.BIN", "System Volume Information"}
ANNOTATIONS = "val_annotations.txt"
"""Tiny ImageNet's list of its validation images: name, class and a box, separated by tabs."""


@dataclass(frozen=True)
class ListedImages:
    """The images of a split: image i of the source is of class `names[labels[i]]`."""

    source: FileSource | ArchiveSource
    labels: list[int]
    names: list[str]


def natural(text: str) -> tuple[list[str | int], str]:
    """Return a key that sorts names as timm does, numbers in them by value; ties by the text."""
    parts: list[str | int] = list(re.split(r"(\d+)", text.lower()))
    parts[1::2] = map(int, parts[1::2])
    return parts, text


def _in_order(names: Iterable[str]) -> dict[str, int]:
    """Return the number of each class, in the natural order of their names."""
    return {name: number for number, name in enumerate(sorted(names, key=natural))}


def list_images(place: Path, flag: str) -> ListedImages:
    """Return the images of a split's folder or archive, with their classes.

    Raises UsageError, which names `flag`, if the layout is none of the known ones.
    """
    if place.is_file():
        return _in_archives([place], flag, place, classes_by_archive=False)
    classes = folders_of(place)
    archives = sorted(place.glob("*.tar"), key=lambda path: natural(path.name))
    if archives and not classes:
        return _in_archives(archives, flag, place, classes_by_archive=True)
    if (place / ANNOTATIONS).is_file():
        return _annotated(place, flag)
    if is_flat(place):
        raise UsageError(
            f"{flag}: {place} is flat: its images are not in a folder per class; sort them into "
            "one folder per class"
        )
    return _in_folders(place, classes, flag)


def _in_folders(place: Path, classes: list[str], flag: str) -> ListedImages:
    """Return the images of a folder with a folder per class."""
    paths = sorted(_images_below(place), key=natural)
    if stray := [path for path in paths if "/" not in path]:
        raise UsageError(
            f"{flag}: {place} has {len(stray)} images next to its class folders ({stray[0]} ...); "
            "move them into their classes"
        )
    class_of = _classes_of(paths, place, flag)
    if empty := sorted(set(classes) - set(class_of.values())):
        folder = place / empty[0]
        raise UsageError(
            f"{flag}: {folder} has no images ({', '.join(ENDINGS[:4])} ...); found "
            f"{contents(folder)}; fill it or remove it"
        )
    number = _in_order(classes)
    labels = [number[class_of[path]] for path in paths]
    return ListedImages(FileSource(str(place), Texts.of(paths)), labels, list(number))


def folders_of(place: Path) -> list[str]:
    """Return the names of the folders in a folder, without what operating systems leave behind."""
    folders = filter(os.DirEntry.is_dir, os.scandir(place))
    return sorted(entry.name for entry in folders if not _left_behind(entry.name))


def is_flat(place: Path) -> bool:
    """True if a folder's images are directly in it, or in `images` in it, without one per class."""
    return place.is_dir() and folders_of(place) in ([], ["images"]) and not any(place.glob("*.tar"))


def contents(place: Path) -> str:
    """Return the first few names in a folder as text."""
    names = sorted(path.name for path in place.iterdir())
    if not names:
        return "nothing"
    return ", ".join(names[:4]) + (" ..." if len(names) > 4 else "")


def _left_behind(name: str) -> bool:
    return name.startswith((".", "@")) or name in LEFT_BEHIND


def _is_image(path: str) -> bool:
    return path.lower().endswith(ENDINGS) and not any(map(_left_behind, path.split("/")))


def _images_below(place: Path) -> Iterator[str]:
    """Yield the path of every image below a folder, relative to it and with slashes."""
    for root, folders, files in os.walk(place, followlinks=True):
        folders[:] = [name for name in folders if not _left_behind(name)]
        prefix = Path(root).relative_to(place).as_posix()
        for name in files:
            if _is_image(name):
                yield name if prefix == "." else f"{prefix}/{name}"


def _classes_of(paths: Iterable[str], place: Path, flag: str) -> dict[str, str]:
    """Return the class of every image: <class>/name, or <class>/images/name throughout.

    Raises UsageError if images of a class are in various folders.
    """
    found = {path: path.partition("/")[0] for path in paths}
    folders: dict[str, set[str]] = {}
    for path, name in found.items():
        folders.setdefault(name, set()).add(path.partition("/")[2].rpartition("/")[0])
    if len(set().union(*folders.values())) <= 1:
        return found
    nested = [name for name, inner in folders.items() if inner - {""}]
    first = min(nested, key=natural)
    inner = sorted(folders[first] - {""})
    shown = ", ".join(inner[:3]) + (" ..." if len(inner) > 3 else "")
    raise UsageError(
        f"{flag}: {place / first} has images in further folders ({shown}), so their class is "
        f"unclear; move the images to {place.name}/<class>/"
    )


def _annotated(place: Path, flag: str) -> ListedImages:
    """Return Tiny ImageNet's validation images, whose classes are in a list."""
    annotations = place / ANNOTATIONS
    class_of: dict[str, str] = {}
    text = text_of(annotations, LARGEST_LIST, partial(_no_list, flag, annotations))
    for line in filter(str.strip, text.splitlines()):
        name, tab, rest = line.partition("\t")
        if not tab:
            raise UsageError(
                f"{flag}: {annotations} has a line {line[:40]!r}; each line must be a file name, a "
                "tab and a class"
            )
        class_of[name] = rest.partition("\t")[0]
    number = _in_order(set(class_of.values()))
    paths = sorted(_images_below(place), key=natural)
    labels = []
    for path in paths:
        name = os.path.basename(path)
        if name not in class_of:
            raise UsageError(
                f"{flag}: {annotations} does not list {path}; it must have a line for each image"
            )
        labels.append(number[class_of[name]])
    return ListedImages(FileSource(str(place), Texts.of(paths)), labels, list(number))


@dataclass(frozen=True)
class Member:
    """A file in an archive, or in an archive inside it: its path, and where its bytes are."""

    path: str
    archive: int
    start: int
    size: int


def _in_archives(
    archives: list[Path], flag: str, place: Path, *, classes_by_archive: bool
) -> ListedImages:
    """Return the images of one archive of all classes, or of one archive per class."""
    members: dict[str, Member] = {}
    for number, path in enumerate(archives):
        prefix = f"{path.stem}/" if classes_by_archive else ""
        with refusing(partial(_no_archive, flag, path)):
            for member in _members(path, number, prefix):
                if _is_image(member.path):
                    members[member.path] = member
    inner = _without_common(list(members))
    if not members or not all("/" in path for path in inner.values()):
        has = "images that are not in a folder per class" if members else "no images"
        raise UsageError(f"{flag}: {place} contains {has}; it must contain <class>/name.jpg")
    class_of = _classes_of(inner.values(), place, flag)
    label_of = _in_order(set(class_of.values()))
    paths = sorted(members, key=natural)
    labels = [label_of[class_of[inner[path]]] for path in paths]
    ordered = [members[path] for path in paths]
    return ListedImages(_archive_source(archives, ordered), labels, list(label_of))


def _no_list(flag: str, path: Path, words: str) -> UsageError:
    return UsageError(
        f"{flag}: {path} cannot be read ({words}); each line must be a file name, a tab and a class"
    )


def _no_archive(flag: str, path: Path, words: str) -> UsageError:
    return UsageError(
        f"{flag}: {path} cannot be read as an uncompressed .tar ({words}); is the file complete?"
    )


def _archive_source(archives: list[Path], members: list[Member]) -> ArchiveSource:
    which, starts, sizes = [], [], []
    for member in members:
        which.append(member.archive)
        starts.append(member.start)
        sizes.append(member.size)
    return ArchiveSource(
        files=tuple(map(str, archives)),
        which=np.array(which),
        starts=np.array(starts),
        sizes=np.array(sizes),
        names=Texts.of(member.path for member in members),
    )


def _members(path: Path, number: int, prefix: str) -> Iterator[Member]:
    """Yield every regular file of an archive; an archive inside it counts as a folder."""
    with tarfile.open(path, mode="r:") as archive:
        for member in _regular(archive):
            name = prefix + member.name.removeprefix("./")
            if not name.endswith(".tar"):
                yield Member(name, number, member.offset_data, member.size)
                continue
            folder = name.removesuffix(".tar")
            content = archive.extractfile(member)
            assert content is not None
            with tarfile.open(fileobj=content, mode="r:") as inner:
                for entry in _regular(inner):
                    inner_name = f"{folder}/{entry.name.removeprefix('./')}"
                    start = member.offset_data + entry.offset_data
                    yield Member(inner_name, number, start, entry.size)


def _regular(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the members whose bytes are stored in one piece."""
    for member in archive:
        if member.isreg() and not member.issparse():
            yield member


def _without_common(paths: list[str]) -> dict[str, str]:
    """Return each path without the folders that all have in common.

    An archive of `train/` has that folder in front of every class.
    """
    inner = {path: path for path in paths}
    while inner:
        firsts = {path.partition("/")[0] for path in inner.values()}
        if len(firsts) > 1 or min(path.count("/") for path in inner.values()) < 2:
            break
        inner = {path: short.partition("/")[2] for path, short in inner.items()}
    return inner
