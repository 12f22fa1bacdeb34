"""Child processes: found, ended, and their exit codes in words."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


def exit_text(code: int | None) -> str:
    """An exit code in words; a negative one is a signal."""
    if code == -signal.SIGKILL:
        return (
            f"exit code {code} (SIGKILL: somebody killed it, perhaps the system for want of memory)"
        )
    return f"exit code {code}"


def descendants(pid: int) -> list[int]:
    """The processes below one, as far as the system tells (Linux)."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            below = [int(child) for child in children.read_text().split()]
        except OSError:
            continue  # the thread has just ended
        found += [one for child in below for one in (child, *descendants(child))]
    return found


def kill(pids: list[int], number: int = signal.SIGKILL) -> None:
    """Send a signal to each that is still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_tree(pid: int) -> None:
    """End a process and all below it; stopped first, so that it starts nothing while its children are looked up."""
    kill([pid], signal.SIGSTOP)
    kill([*descendants(pid), pid])
