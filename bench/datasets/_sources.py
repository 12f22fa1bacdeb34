"""Where images are stored, in forms that can be pickled for other processes: paths and offsets.

Never an open file: processes that share one share its position too, and would each read what
another one asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.training.images.decoding import decoded


@dataclass(frozen=True)
class Texts:
    """Many texts in two arrays.

    A million of them reach another process in a tenth of a second; as a list they take seconds.
    """

    joined: NDArray[np.uint8]
    ends: NDArray[np.int64]

    @staticmethod
    def of(texts: Iterable[str]) -> Texts:
        """Pack texts in their order; file names that are not UTF-8 come back unchanged."""
        encoded = list(map(os.fsencode, texts))
        ends = np.cumsum(list(map(len, encoded)), dtype=np.int64)
        return Texts(np.frombuffer(b"".join(encoded), dtype=np.uint8), ends)

    def __getitem__(self, at: int) -> str:
        start = self.ends[at - 1] if at else 0
        return os.fsdecode(self.joined[start : self.ends[at]].tobytes())


@dataclass(frozen=True)
class FileSource:
    """One image per file; `paths` are relative to the split's folder `root`."""

    root: str
    paths: Texts

    def read(self, at: int) -> Image.Image:
        with open(os.path.join(self.root, self.paths[at]), "rb") as file:
            return decoded(file)

    def name(self, at: int) -> str:
        return f"{os.path.basename(os.path.abspath(self.root))}/{self.paths[at]}"


@dataclass(frozen=True)
class ArchiveSource:
    """Images inside larger files; `which` of the `files`, the first byte and how many bytes."""

    files: tuple[str, ...]
    which: NDArray[np.int64]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    names: Texts

    def read(self, at: int) -> Image.Image:
        with open(self.files[self.which[at]], "rb") as file:
            file.seek(int(self.starts[at]))
            return decoded(BytesIO(file.read(int(self.sizes[at]))))

    def name(self, at: int) -> str:
        return f"{os.path.basename(self.files[self.which[at]])}/{self.names[at]}"


@dataclass(frozen=True)
class TableSource:
    """Images in the table of one of timm's readers, which maps its rows into memory."""

    reader: Any
    split: str

    def read(self, at: int) -> Image.Image:
        stream = self.reader[at][0]
        with stream:
            return decoded(stream)

    def name(self, at: int) -> str:
        try:
            named = self.reader.filename(at)
        except (NotImplementedError, AttributeError, KeyError, TypeError, AssertionError):
            named = None
        return f"image {at} of {self.split}" + (f" ({named})" if named else "")
