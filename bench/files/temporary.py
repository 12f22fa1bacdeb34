"""Temporary files in one folder per process; if it is killed, a later program removes the folder.

A folder is locked while its process lives; the system releases the lock however the process ends.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path

from bench.errors import UsageError

PREFIX = "convmixer-bench-"
LONGEST = 70
"""Most bytes of a path in which sockets are made.

Sockets in it, such as /pymp-xxxxxxxx/listener-xxxxxxxx, may have 107 in all.
"""
SHORT = ("/tmp", "/var/tmp")
"""Where sockets are made if TMPDIR is too long for them."""
LAST = -1000
"""Exit priority of removing the folder, after multiprocessing's own inside it, which has -100."""


@cache
def folder() -> Path:
    """Return this process's folder for temporary files, which is removed when the process ends.

    Raises UsageError if there is no place for one.
    """
    try:
        place = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise UsageError(
            f"no temporary file can be written: {error.strerror}; set TMPDIR to a folder on a disk "
            "with free space"
        ) from None
    return _made(place)


@cache
def folder_of_sockets() -> Path:
    """Return `folder()`, or one like it elsewhere if its path is too long for sockets.

    Raises UsageError if there is no other place.
    """
    mine = folder()
    if _is_short(mine):
        return mine
    for place in SHORT:
        with suppress(OSError):
            return _made(Path(place))
    raise UsageError(
        f"TMPDIR is {mine.parent}, of {len(os.fsencode(mine.parent))} bytes, and sockets can have "
        f"paths of 107; set TMPDIR to a shorter one, as {' and '.join(SHORT)} cannot be written to"
    )


def _is_short(path: Path) -> bool:
    return len(os.fsencode(path)) <= LONGEST


def _made(place: Path) -> Path:
    """Make and lock a folder, which is removed on exit, after removing those of killed processes.

    Raises OSError if nothing can be written there.
    """
    _sweep(place)
    while True:
        made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        with suppress(FileNotFoundError):
            # Another program may have removed it before it was locked.
            if _lock(made) is not None and made.exists():
                Finalize(None, shutil.rmtree, (made, True), exitpriority=LAST)
                return made


@contextmanager
def used() -> Iterator[None]:
    """Put the temporary files of this process, and of those started inside, where they are removed.

    Sockets are among them.
    """
    mine = str(folder_of_sockets())
    before = os.environ.get("TMPDIR"), tempfile.tempdir
    os.environ["TMPDIR"] = tempfile.tempdir = mine
    try:
        yield
    finally:
        tempfile.tempdir = before[1]
        os.environ.pop("TMPDIR")
        if before[0] is not None:
            os.environ["TMPDIR"] = before[0]


def _lock(path: Path) -> int | None:
    """Return an open descriptor that holds the lock of a folder; None if another process has it.

    Raises OSError for a link.
    """
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        return None
    return opened


def _sweep(place: Path) -> None:
    """Remove the folders of processes that were killed."""
    for path in place.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another user's, or just removed by another program
            lock = _lock(path) if path.lstat().st_uid == os.getuid() else None
            if lock is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)
