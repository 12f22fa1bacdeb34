"""Small images of a folder, decoded once and kept as one memory-mapped file in the user's cache.

Sixty thousand files take a quarter of a minute to open and decode; the second start only lists them. The file is of one
state of the folder (names, sizes, times of change) and of one decoder, and is made anew where either is another.
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
from numpy.typing import NDArray
from PIL import features

from bench.datasets._cache import cache
from bench.datasets._sources import Files
from bench.files import files
from bench.training.images.decoding import decoded

FORMAT = 1


@dataclass(frozen=True)
class Kept:
    """All images of a source: `images` (n, 3, side, side) uint8, memory-mapped where a cache could be written.

    `unreadable` are the places of those that could not be decoded (black here); `digest` is 16 hex digits over the names
    and bytes of all files: what the folder contains, wherever it lies and however it is decoded.
    """

    images: NDArray[np.uint8]
    unreadable: list[int]
    digest: str


class _Says(msgspec.Struct):
    unreadable: list[int]
    digest: str


def kept(source: Files, side: int) -> Kept | None:
    """All images of a source; None where one is not `side` pixels wide and high."""
    count = len(source.paths.ends)
    state = _state(source, count, side)
    home = hashlib.sha256(
        os.path.abspath(source.root).encode("utf-8", "surrogateescape")
    ).hexdigest()[:12]
    try:
        place = cache("pictures") / f"{home}-{state}"
    except OSError:
        return _decoded(source, count, side)
    return _read(place, count, side) or _written(place, _decoded(source, count, side))


def _state(source: Files, count: int, side: int) -> str:
    """What the kept file depends on, as hex digits."""
    found = hashlib.sha256(
        f"{FORMAT} {side} {PIL.__version__} {features.version('jpg')} {features.version('libjpeg_turbo')}".encode()
    )
    for at in range(count):
        path = source.paths[at]
        about = os.stat(os.path.join(source.root, path))
        found.update(
            f"{path}\0{about.st_size}\0{about.st_mtime_ns}\n".encode("utf-8", "surrogateescape")
        )
    return found.hexdigest()[:16]


def _decoded(source: Files, count: int, side: int) -> Kept | None:
    images = np.zeros((count, 3, side, side), dtype=np.uint8)
    unreadable, digest = [], hashlib.sha256()
    for at in range(count):
        try:
            content = Path(source.root, source.paths[at]).read_bytes()
            digest.update(
                source.paths[at].encode("utf-8", "surrogateescape")
                + b"\0"
                + len(content).to_bytes(8, "little")
                + content
            )
            image = decoded(BytesIO(content))
        except Exception:
            unreadable.append(at)
            continue
        if image.size != (side, side):
            return None
        images[at] = np.asarray(image).transpose(2, 0, 1)
    return Kept(images, unreadable, digest.hexdigest()[:16])


def _read(place: Path, count: int, side: int) -> Kept | None:
    """What an earlier start wrote; None where there is none that is whole."""
    try:
        says = msgspec.json.decode(place.with_suffix(".json").read_bytes(), type=_Says)
        images = np.load(place.with_suffix(".npy"), mmap_mode="r")
    except (OSError, ValueError, EOFError, msgspec.MsgspecError):
        return None
    whole = images.shape == (count, 3, side, side) and images.dtype == np.uint8
    return Kept(images, says.unreadable, says.digest) if whole else None


def _written(place: Path, found: Kept | None) -> Kept | None:
    """Keep it for the next start, instead of what was kept of an earlier state of the folder; as it is where that can't be done."""
    if found is None:
        return None
    try:
        for old in place.parent.glob(f"{place.name.partition('-')[0]}-*"):
            old.unlink(missing_ok=True)
        with files.whole(place.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
            np.save(file, found.images, allow_pickle=False)
        files.write_whole(
            place.with_suffix(".json"), msgspec.json.encode(_Says(found.unreadable, found.digest))
        )
    except (OSError, files.Unwritable):
        return found
    return found
