"""Temporary files in one folder per process, which a later program removes where this one was killed.

A folder is locked for as long as its process lives; the system lets go of the lock however that ends.
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
"""Characters that the folder's path may have for sockets to lie in it, as /pymp-xxxxxxxx/listener-xxxxxxxx (107 in all)."""
LAST = -1000
"""When the folder is removed: after multiprocessing has removed its own in it, which is at -100."""


@cache
def folder() -> Path:
    """This process's folder for temporary files; removed at its end."""
    _sweep(Path(tempfile.gettempdir()))
    while True:
        made = Path(tempfile.mkdtemp(prefix=PREFIX))
        with suppress(FileNotFoundError):
            # Another program may have found it before it was locked, and removed it.
            if _lock(made) is not None and made.exists():
                Finalize(None, shutil.rmtree, (made, True), exitpriority=LAST)
                return made


@contextmanager
def used() -> Iterator[None]:
    """What is started inside has its temporary files in `folder`, and so has this process meanwhile."""
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
    """An open descriptor that holds the lock of a folder, or None where another process holds it. Raises OSError for a link."""
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
        with suppress(OSError):  # somebody else's, or just removed by another program
            if path.lstat().st_uid == os.getuid() and (lock := _lock(path)) is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)
