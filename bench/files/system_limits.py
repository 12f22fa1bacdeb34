"""What the system lets this program use: a working folder, open files, processes and memory.

An administrator, a batch system or `ulimit` sets these limits, and libraries meet them in ways that
cannot be caught: in the middle of an import, in another process, or by ending the program.
"""

from __future__ import annotations

import errno
import importlib.abc
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from types import ModuleType

from bench.errors import UsageError, one_line

LEAST_FILES = 64
"""Open files without which no measurement begins: in a run of one model 19 were open at once, in a
run of four models 27. With more models, the call that fails says so."""
MOST_FILES = 1 << 16
"""Open files to ask for at most."""
UNLIMITED = resource.RLIM_INFINITY
PROBE = "import torch, torchvision, timm; torch.ones(1 << 20).sum()"
"""What every measuring process begins with: its libraries, and the threads of an operator."""


def prepare() -> None:
    """Allow this process as many open files as the system does, and check memory before torch."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == UNLIMITED else min(hard, MOST_FILES)
    if soft != UNLIMITED and soft < wanted:
        with suppress(OSError, ValueError):  # macOS has a limit that it does not tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if _memory_limits():
        sys.meta_path.insert(0, _BeforeTorch())


def require_folder() -> None:
    """Raise UsageError if the working folder was deleted: no relative path leads anywhere then."""
    if line := _without_folder():
        raise UsageError(line)


def require_for_workers() -> None:
    """Raise UsageError if the limits are too low for processes that measure."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != UNLIMITED and most < LEAST_FILES:
        raise UsageError(
            f"ulimit -n allows {most} open files, and measuring needs at least {LEAST_FILES}; "
            f"raise it: ulimit -n {16 * LEAST_FILES}"
        )
    require_room_for_torch()


@cache
def require_room_for_torch() -> None:
    """Raise UsageError if torch cannot be imported within this process's limits of memory.

    Without limits, nothing is tried. With one, another process tries: torch can end a process in
    which memory runs out, and how much it needs depends on its build and on the machine.
    """
    limits = _memory_limits()
    if limits and (why := _why_torch_fails()):
        raise UsageError(
            f"torch cannot be imported under {' and '.join(limits)}: {why}; raise the limit, or "
            "remove it: ulimit -v unlimited"
        )


def _why_torch_fails() -> str | None:
    """Return the last line that another process prints over importing torch; None if it can."""
    command = [sys.executable, "-c", PROBE]
    try:
        tried = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        return error.strerror
    if tried.returncode == 0:
        return None
    said = tried.stderr.decode(errors="replace").strip() or f"exit code {tried.returncode}"
    return said.splitlines()[-1].strip()[:120]


def in_words(error: BaseException) -> str | None:
    """Return one line for an error of a limit, with what to change; None for any other error."""
    if isinstance(error, MemoryError):
        return _out_of_memory("no memory is left")
    if not isinstance(error, OSError):
        return None
    if error.errno == errno.EMFILE:
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return (
            f"too many open files: ulimit -n allows {most}; raise it: ulimit -n {4 * most}; "
            "finished results are kept"
        )
    if error.errno == errno.ENFILE:
        return f"{error.strerror}: close other programs and rerun; finished results are kept"
    if error.errno == errno.EAGAIN and error.filename is None:
        return (
            "no further process or thread is allowed (ulimit -u); end other programs or raise the "
            "limit; finished results are kept"
        )
    if error.errno == errno.ENOMEM:
        return _out_of_memory(one_line(error))
    if error.errno == errno.ENOENT and error.filename is None:
        return _without_folder()
    return None


def _without_folder() -> str | None:
    """Return one line if the working folder is gone; None if it is there."""
    try:
        os.getcwd()
    except OSError as error:
        return (
            f"the working folder cannot be used ({error.strerror}): it was deleted or moved away; "
            "change to a folder that exists (cd) and rerun"
        )
    return None


def _out_of_memory(what: str) -> str:
    limits = "".join(f" ({limit})" for limit in _memory_limits())
    return f"{what}{limits}: free some memory or raise the limit; finished results are kept"


def _memory_limits() -> list[str]:
    """Return the limits that are set on this process's memory, as the shell spells them."""
    found = []
    for flag, kind in (("-v", resource.RLIMIT_AS), ("-d", resource.RLIMIT_DATA)):
        size, _ = resource.getrlimit(kind)
        if size != UNLIMITED:
            found.append(f"ulimit {flag} of {size / 1e9:.1f} GB")
    return found


class _BeforeTorch(importlib.abc.MetaPathFinder):
    """Checks the memory when torch is about to be imported. Many commands import no torch."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        if fullname == "torch":
            require_room_for_torch()
