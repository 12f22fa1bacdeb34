"""Mistakes that the program could have, planted to see that the walk over its faults finds them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path


def half_files() -> None:
    """Files are written in place, instead of beside it and renamed."""
    from bench.files import files

    @contextlib.contextmanager
    def whole(path: Path) -> Iterator[Path]:
        with files.named(path):
            yield path

    files.whole = whole


def swallowed() -> None:
    """A line of a record that cannot be written is left out in silence."""
    from bench.files import files

    real = files.append

    def append(path: Path, content: bytes) -> None:
        with contextlib.suppress(OSError, files.Unwritable):
            real(path, content)

    files.append = append


def twice() -> None:
    """A line that could not be synced is written once more."""
    from bench.files import files

    real = files.append

    def append(path: Path, content: bytes) -> None:
        try:
            real(path, content)
        except (OSError, files.Unwritable):
            real(path, content)

    files.append = append


def left_behind() -> None:
    """Temporary files are not removed if writing fails."""
    from bench.files import files

    @contextlib.contextmanager
    def whole(path: Path) -> Iterator[Path]:
        temporary = files.beside(path)
        with files.named(path):
            yield temporary
            os.replace(temporary, path)

    files.whole = whole


PLANTS: dict[str, Callable[[], None]] = {
    "half files": half_files,
    "swallowed": swallowed,
    "twice": twice,
    "left behind": left_behind,
}
