"""Files that a reader finds whole or not at all, whoever else writes beside; and one clear line where a disk is full.

Nothing here takes a lock: a name is given to a file that is complete (rename), or to the first who asks (link). Both are
one step on local and on network file systems.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import UsageError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)
LEFT_BEHIND = 3600.0
"""Seconds after which a temporary file counts as one that a killed program left."""
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")
"""How `_beside` names what is not complete yet."""


class Unwritable(UsageError):
    """A file that cannot be written; the message says what remains and what to do."""


def unwritable(error: OSError, path: Path | None = None) -> Unwritable | None:
    """The line for an error of the file system that the user can mend; None for any other error."""
    where = path or error.filename or "standard output or a temporary file"
    if error.errno in NO_ROOM:
        return Unwritable(
            f"{where}: {error.strerror}; what was finished is kept: make room, and the same command goes on from there"
        )
    if error.errno == errno.EROFS or (path is not None and error.errno in REFUSED):
        return Unwritable(
            f"{where}: {error.strerror}; what was finished is kept: allow writing there, and the same command goes on"
        )
    return None


def regular(path: Path) -> os.stat_result | None:
    """Return what is known of a file, None where there is none; UsageError for a folder, pipe or device of that name.

    Opening a pipe would wait for a writer that never comes, and renaming onto a device would replace it.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(found.st_mode):
        kind = next((word for is_kind, word in KINDS if is_kind(found.st_mode)), "not a file")
        raise UsageError(f"{path} is {kind}, and a file is needed there")
    return found


def read(path: Path) -> bytes:
    """Return what a file contains; UsageError where it is no regular file, OSError where it cannot be read."""
    regular(path)
    with open(path, "rb", opener=_without_waiting) as file:
        return file.read()


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe that took its place a moment ago is not waited for."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Errors of the file system that the user can mend, as one line that names the file."""
    try:
        yield
    except OSError as error:
        if line := unwritable(error, path):
            raise line from None
        raise


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path to write to; it becomes `path` once it is complete and on disk. A reader sees the old file or the new.

    Each writer has a name of its own, so that several may write the same file: the last one's stays.
    """
    temporary = _beside(path)
    with named(path):
        regular(path)
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole: see `whole`."""
    with whole(path) as temporary:
        temporary.write_bytes(content)


def create(path: Path, content: bytes) -> bool:
    """Write a file whole unless there is one already; False where somebody else was first. Theirs is untouched."""
    temporary = _beside(path)
    with named(path):
        try:
            _write_new(temporary, content)
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if (
                error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
                or not temporary.exists()
            ):
                raise
            return _create_without_links(path, content)  # where a file system knows no hard links
        finally:
            temporary.unlink(missing_ok=True)
    return True


def _beside(path: Path) -> Path:
    """A name for what becomes `path`, which no other writer has."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")


def _write_new(path: Path, content: bytes) -> None:
    """Make a file that is not there yet, and wait until it is on disk."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _create_without_links(path: Path, content: bytes) -> bool:
    """As `create`, but a reader may see the file grow."""
    try:
        _write_new(path, content)
    except FileExistsError:
        return False
    return True


def no_link(path: Path) -> Path:
    """Return the path of a file that is continued, or will be; UsageError where it is a link, a folder, a pipe or a device."""
    if path.is_symlink():
        raise UsageError(
            f"{path} is a link, and records and logs are not continued behind links; put the file itself there"
        )
    regular(path)
    return path


def append(path: Path, content: bytes) -> None:
    """Append in one step, at the end as it is then, and wait until it is on disk. A link is not followed."""
    no_link(path)
    with named(path):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0))
        try:
            written = os.write(file, content)
            if written < len(
                content
            ):  # the disk became full in the middle: this says so, and the torn line is void
                os.write(file, content[written:])
            os.fsync(file)
        finally:
            os.close(file)


def sweep(path: Path) -> None:
    """Remove temporary files of `path` that killed programs left long ago; large ones would fill the disk."""
    _sweep(path.parent.glob(f".{path.name}.*.tmp"))


def sweep_folder(folder: Path) -> None:
    """Remove temporary files of any name in a folder that killed programs left long ago."""
    _sweep(left for left in folder.glob(".*.tmp") if TEMPORARY.fullmatch(left.name))


def _sweep(paths: Iterable[Path]) -> None:
    for left in paths:
        try:
            found = left.lstat()
            if stat.S_ISREG(found.st_mode) and time.time() - found.st_mtime > LEFT_BEHIND:
                left.unlink(missing_ok=True)
        except FileNotFoundError:
            continue  # its writer has just finished
