"""Write files that a reader finds complete or not at all, even with several writers.

Nothing here takes a lock: a name is given to a complete file (rename) or to the first writer
(link), and both are atomic on local and on network file systems. A full disk is one clear line.
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
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
"""Errors of file systems without hard links."""
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)
LEFT_BEHIND = 3600.0
"""Age in seconds from which on a temporary file counts as left by a killed program."""
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")
"""Names from `beside`, of files that are not complete yet."""


class Unwritable(UsageError):
    """A file that cannot be written; the message says what is kept and what to do."""


def unwritable(error: OSError, path: Path | None = None) -> Unwritable | None:
    """Return the error for a file system problem that the user can fix; None for any other."""
    where = path or error.filename or "standard output or a temporary file"
    if error.errno in NO_ROOM:
        remedy = "free some space"
    elif error.errno == errno.EROFS or (path is not None and error.errno in REFUSED):
        remedy = "allow writing there"
    else:
        return None
    return Unwritable(
        f"{where}: {error.strerror}; finished results are kept: {remedy} and rerun to continue"
    )


def regular(path: Path) -> os.stat_result | None:
    """Return the status of a regular file; None if there is no such path.

    Raises UsageError for a folder, pipe or device: opening a pipe would wait for a writer, and
    renaming onto a device would replace it.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(status.st_mode):
        kind = next((word for is_kind, word in KINDS if is_kind(status.st_mode)), "not a file")
        raise UsageError(f"{path} is {kind}, but a file is needed")
    return status


def read(path: Path) -> bytes:
    """Return the content of a file.

    Raises UsageError if it is not a regular file, and OSError if it cannot be read.
    """
    with naming(path):
        regular(path)
        with open(path, "rb", opener=_without_waiting) as file:
            return file.read()


def _without_waiting(path: str, flags: int) -> int:
    """Open a file without waiting, in case a pipe has just taken its place."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give errors of the file system the name of the file: a failed read or write has none."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Turn file system errors that the user can fix into one line that names the file.

    Any other error is raised as it is, with the name.
    """
    try:
        with naming(path):
            yield
    except OSError as error:
        if line := unwritable(error, path):
            raise line from None
        raise


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; it becomes `path` once it is complete and on disk.

    A reader sees the old file or the new one. Several writers may write the same file, because each
    has its own temporary path; the last one wins.
    """
    with named(path):
        regular(path)  # first: a folder such as "." or "/" has no name to put another beside
        temporary = beside(path)
        sweep(path)
        _unfinished.add(temporary)
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
            _unfinished.discard(temporary)


_unfinished: set[Path] = set()
"""The temporary files that this process is writing."""


def discard_unfinished() -> None:
    """Remove the temporary files of this process, before it ends in the middle of writing."""
    for path in list(_unfinished):
        path.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically; see `whole`."""
    with whole(path) as temporary:
        temporary.write_bytes(content)


def create(path: Path, content: bytes) -> bool:
    """Write a file atomically if there is none; return False, and change nothing, if there is."""
    temporary = beside(path)
    with named(path):
        try:
            _write_new(temporary, content)
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NO_LINKS or not temporary.exists():
                raise
            return _create_without_links(path, content)
        finally:
            temporary.unlink(missing_ok=True)
    return True


def beside(path: Path) -> Path:
    """Return a temporary path next to `path` that no other writer has."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")


def _write_new(path: Path, content: bytes) -> None:
    """Create a file and wait until it is on disk; FileExistsError if there is one."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _create_without_links(path: Path, content: bytes) -> bool:
    """Do the same as `create`, but a reader may see an incomplete file."""
    try:
        _write_new(path, content)
    except FileExistsError:
        return False
    return True


def no_link(path: Path) -> Path:
    """Return the path of a file to append to.

    Raises UsageError if it is a link, a folder, a pipe or a device.
    """
    if path.is_symlink():
        raise UsageError(
            f"{path} is a link, and nothing is appended to records and logs through links; "
            "replace the link by the file"
        )
    regular(path)
    return path


def append(path: Path, content: bytes) -> None:
    """Append atomically, and wait until it is on disk. Links are not followed."""
    no_link(path)
    with named(path):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0))
        try:
            written = os.write(file, content)
            if written < len(content):
                # The disk is full: this write raises the error, and readers ignore the torn line.
                os.write(file, content[written:])
            os.fsync(file)
        finally:
            os.close(file)


def sweep(path: Path) -> None:
    """Remove old temporary files of `path` that killed programs left, before they fill the disk."""
    _sweep(path.parent.glob(f".{path.name}.*.tmp"))


def sweep_folder(folder: Path) -> None:
    """Remove old temporary files of any name in a folder that killed programs left."""
    _sweep(path for path in folder.glob(".*.tmp") if TEMPORARY.fullmatch(path.name))


def _sweep(paths: Iterable[Path]) -> None:
    for path in paths:
        try:
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and time.time() - status.st_mtime > LEFT_BEHIND:
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            continue  # its writer has just finished
