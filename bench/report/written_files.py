"""The list of files that a report wrote into a folder, so that the next report can delete old ones.

Nothing else in the folder is ever deleted: no file that changed since, and no file that is not on
the list, but for figures of the names that a report would overwrite anyway. A list may come from a
stranger, so it can only name tables and figures, in their places.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from bench.errors import UsageError
from bench.files import files as disk
from bench.files.foreign_errors import refusing
from bench.files.paths import inside

NAME = "report-files.json"
TABLES = "tables"
PLACE = re.compile(rf"{TABLES}/[a-z0-9_-]{{1,120}}\.(csv|tex)|[a-z0-9_-]{{1,120}}\.(png|svg|pdf)")
"""The paths of tables and figures in a report's folder."""

HEAD = 4096
"""Bytes at the beginning of a figure in which Matplotlib names itself."""


class Written(msgspec.Struct, frozen=True):
    """SHA-256 of every file, by its path in the folder."""

    files: dict[str, str]


def settle(folder: Path, written: Iterable[Path], figures: Iterable[str] = ()) -> list[Path]:
    """Delete the files that an earlier report wrote and this one did not, and keep the new list.

    `figures` are the names that figures of reports begin with: a file of such a name that
    Matplotlib wrote is deleted too, if this report did not write it, since versions that kept no
    list left it behind. Returns the tables that were there before any list was kept. They stay,
    since their origin is unknown.
    """
    new = {_name(folder, path): _digest(path) for path in written}
    old = _read(folder)
    for name, digest in (old or {}).items():
        if name not in new and PLACE.fullmatch(name):
            _delete(folder, folder / name, digest)
    for path in _left_behind(folder, tuple(figures)):
        if _name(folder, path) not in {*new, *(old or {})}:
            path.unlink()
    content = msgspec.json.encode(Written(dict(sorted(new.items()))))
    disk.write_whole(folder / NAME, msgspec.json.format(content, indent=1) + b"\n")
    if old is not None:
        return []
    tables = (path for path in (folder / TABLES).iterdir() if path.suffix in (".csv", ".tex"))
    return sorted(path for path in tables if _name(folder, path) not in new)


def _left_behind(folder: Path, names: tuple[str, ...]) -> list[Path]:
    """Return the figures of these names that Matplotlib wrote."""
    found = []
    for path in sorted(folder.iterdir()):
        mine = any(path.stem == name or path.stem.startswith(f"{name}_") for name in names)
        if mine and PLACE.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if b"matplotlib" in file.read(HEAD).lower():
                    found.append(path)
    return found


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _read(folder: Path) -> dict[str, str] | None:
    """Return the list of the earlier report; None if there is none, or it cannot be read."""
    try:
        with refusing(UsageError):
            return msgspec.json.decode(disk.read(disk.no_link(folder / NAME)), type=Written).files
    except UsageError:
        return None


def _delete(folder: Path, path: Path, digest: str) -> None:
    """Delete a file if it is still as it was written."""
    inside(folder, path.parent)
    if path.is_file() and not path.is_symlink() and _digest(path) == digest:
        path.unlink()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
