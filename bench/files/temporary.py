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

PREFIX = "convmixer-bench-"
LONGEST = 70
"""Most characters of the folder's path.

Sockets in it, such as /pymp-xxxxxxxx/listener-xxxxxxxx, may have 107 in all.
"""
LAST = -1000
"""Exit priority of removing the folder, after multiprocessing's own inside it, which has -100."""


@cache
def folder() -> Path:
    """Return this process's folder for temporary files, which is removed when the process ends."""
    _sweep(Path(tempfile.gettempdir()))
    while True:
        made = Path(tempfile.mkdtemp(prefix=PREFIX))
        with suppress(FileNotFoundError):
            # Another program may have removed it before it was locked.
            if _lock(made) is not None and made.exists():
                Finalize(None, shutil.rmtree, (made, True), exitpriority=LAST)
                return made


@contextmanager
def used() -> Iterator[None]:
    """Put the temporary files of this process, and of those started inside, into `folder()`."""
    mine = str(folder())
    if len(mine) > LONGEST:
        yield
        return
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
