"""Finding and ending child processes, and their exit codes in words."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


def exit_text(code: int | None) -> str:
    """Describe an exit code; a negative one is a signal."""
    if code == -signal.SIGKILL:
        return f"exit code {code} (SIGKILL: it was killed, perhaps because memory ran out)"
    return f"exit code {code}"


def descendants(pid: int) -> list[int]:
    """Return the processes below `pid`; none on systems other than Linux."""
    below: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            listed = [int(child) for child in children.read_text().split()]
        except OSError:
            continue  # the thread has just ended
        for child in listed:
            below += [child, *descendants(child)]
    return below


def kill(pids: list[int], number: int = signal.SIGKILL) -> None:
    """Send a signal to every process that still exists."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_tree(pid: int) -> None:
    """End a process and all below it.

    It is stopped first, so that it starts no child while its children are listed.
    """
    kill([pid], signal.SIGSTOP)
    kill([*descendants(pid), pid])
