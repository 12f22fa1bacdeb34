"""A cache of decoded images: the small images of a folder in one memory-mapped file.

Opening and decoding sixty thousand files takes a quarter of a minute; with the cache, a start only
lists them. A cache file belongs to one state of the folder (names, sizes, times of change) and one
decoder, and is replaced as soon as either differs.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import msgspec
import numpy as np
import PIL
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import features

from bench.datasets._cache import cache
from bench.datasets._sources import FileSource
from bench.errors import UsageError
from bench.files import files
from bench.files.foreign_errors import raise_if_of_the_system, refusing
from bench.training.images.decoding import decoded

FORMAT = 1


@dataclass(frozen=True)
class DecodedImages:
    """All images of a source: `images` (n, 3, side, side) uint8, memory-mapped if cached.

    `unreadable` has the places of the images that could not be decoded; they are black. `digest` is
    16 hex digits over the names and bytes of all files: it identifies what the folder contains,
    wherever the folder is and however its images are decoded.
    """

    images: NDArray[np.uint8]
    unreadable: list[int]
    digest: str


class _Metadata(msgspec.Struct):
    unreadable: list[int]
    digest: str


def cached_images(source: FileSource, side: int) -> DecodedImages | None:
    """Return all images of a source, or None if one is not `side` pixels wide and high."""
    count = len(source.paths.ends)
    root = os.path.abspath(source.root).encode("utf-8", "surrogateescape")
    home = hashlib.sha256(root).hexdigest()[:12]
    state = _state(source, count, side)
    try:
        place = cache("pictures") / f"{home}-{state}"
    except OSError:
        return _decoded(source, count, side)
    return _read(place, count, side) or _written(place, _decoded(source, count, side))


def _state(source: FileSource, count: int, side: int) -> str:
    """Return a digest of all that a cache file depends on."""
    jpeg = f"{features.version('jpg')} {features.version('libjpeg_turbo')}"
    digest = hashlib.sha256(f"{FORMAT} {side} {PIL.__version__} {jpeg}".encode())
    for at in range(count):
        path = source.paths[at]
        about = os.stat(os.path.join(source.root, path))
        line = f"{path}\0{about.st_size}\0{about.st_mtime_ns}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def _decoded(source: FileSource, count: int, side: int) -> DecodedImages | None:
    images = np.zeros((count, 3, side, side), dtype=np.uint8)
    unreadable, digest = [], hashlib.sha256()
    for at in range(count):
        try:
            content = Path(source.root, source.paths[at]).read_bytes()
            name = source.paths[at].encode("utf-8", "surrogateescape")
            digest.update(name + b"\0" + len(content).to_bytes(8, "little") + content)
            image = decoded(BytesIO(content))
        except Exception as error:
            raise_if_of_the_system(error)
            unreadable.append(at)
            continue
        if image.size != (side, side):
            return None
        images[at] = np.asarray(image).transpose(2, 0, 1)
    return DecodedImages(images, unreadable, digest.hexdigest()[:16])


def _read(place: Path, count: int, side: int) -> DecodedImages | None:
    """Return what an earlier start cached; None if there is nothing complete."""
    try:
        with refusing(UsageError):
            metadata = msgspec.json.decode(place.with_suffix(".json").read_bytes(), type=_Metadata)
            images = npy.open_memmap(place.with_suffix(".npy"), mode="r")
    except UsageError:
        return None
    whole = images.shape == (count, 3, side, side) and images.dtype == np.uint8
    return DecodedImages(images, metadata.unreadable, metadata.digest) if whole else None


def _written(place: Path, found: DecodedImages | None) -> DecodedImages | None:
    """Cache images for the next start, replacing those of an earlier state of the folder.

    Returns `found` in any case: a cache that cannot be written is done without.
    """
    if found is None:
        return None
    try:
        for old in place.parent.glob(f"{place.name.partition('-')[0]}-*"):
            old.unlink(missing_ok=True)
        with files.whole(place.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
            np.save(file, found.images, allow_pickle=False)
        files.write_whole(
            place.with_suffix(".json"),
            msgspec.json.encode(_Metadata(found.unreadable, found.digest)),
        )
    except (OSError, files.Unwritable):
        return found
    return found
