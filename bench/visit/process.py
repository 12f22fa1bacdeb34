"""Run one command to its end or its limit, whatever it does, and leave no process of it behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.measure.disturbance import free_memory
from bench.measure.memory import in_file
from bench.measure.processes import descendants, exit_text, kill

GRACE_S = 8.0
"""Seconds from interrupting a process to killing it; a run ends its workers in 2 or 3."""
LOOK_S = 0.2
"""Seconds between two checks of a process."""
DUMP_S = 0.5
"""Seconds in which Python can write the traceback of where it hangs."""
FLOOR = 512 << 20
"""Bytes of free memory below which a step that took most of it is ended. In many containers the
kernel would kill all programs together."""
BEGIN = Path(__file__).with_name("begin.py")
MARK = "CONVMIXER_BENCH_STEP"
"""An environment variable of a step, by which all processes that it started are found."""
KILLING_TRIES = 100


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    seconds: float
    why: str = ""
    """limit or memory if the visit ended it, else empty."""

    @property
    def text(self) -> str:
        """The exit code in words."""
        return exit_text(self.code)


@dataclass(frozen=True)
class Guard:
    """Detects a step that is about to fill the machine's memory."""

    floor: int = FLOOR
    free: Callable[[], int | None] = lambda: free_memory("cpu")

    def is_filling(self, pid: int) -> bool:
        """True if memory is nearly full, mostly because of the process and its descendants."""
        left = self.free()
        if left is None or left >= self.floor:
            return False
        taken = sum(map(_anonymous, (pid, *descendants(pid))))
        return taken > self.floor + left


def _anonymous(pid: int) -> int:
    return in_file(Path(f"/proc/{pid}/status"), "RssAnon") or 0


def run_command(
    command: Sequence[str],
    log: Path,
    *,
    limit_s: float,
    guard: Guard | None = None,
    grace_s: float = GRACE_S,
) -> Ended:
    """Run a command for at most `limit_s` seconds, with its output appended to `log`.

    The first part of the command is a path. At the limit the command is interrupted as by Ctrl-C,
    and killed `grace_s` seconds later if it has not ended. On KeyboardInterrupt it is ended in the
    same way before the exception is raised again. No process that it started outlives it, and it
    does not outlive this process.
    """
    start = time.monotonic()
    mark = f"{MARK}={uuid.uuid4().hex}"
    with log.open("ab") as output:
        process = _start(command, output.fileno(), mark)
        try:
            why = _watch(process, start + limit_s, guard or Guard())
            if why == "limit":
                _interrupt(process, grace_s)
        except BaseException:
            _interrupt(process, grace_s)
            raise
        finally:
            _kill_all(process, mark)
    return Ended(process.wait(), time.monotonic() - start, why)


def _start(command: Sequence[str], output: int, mark: str) -> subprocess.Popen[bytes]:
    """Start a command in its own session, which a terminal's Ctrl-C does not reach."""
    name, _, value = mark.partition("=")
    begin = (sys.executable, "-I", "-S", str(BEGIN), str(os.getpid()))
    return subprocess.Popen(
        [*begin, *command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1", name: value},
    )


def _watch(process: subprocess.Popen[bytes], end: float, guard: Guard) -> str:
    """Wait for the process; return why it has to be ended, or "" if it has ended by itself."""
    while process.poll() is None:
        if time.monotonic() >= end:
            return "limit"
        if guard.is_filling(process.pid):
            return "memory"
        time.sleep(LOOK_S)
    return ""


def _interrupt(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """Interrupt a process; if it does not end, make Python write a traceback of where it hangs."""
    for number, seconds in ((signal.SIGINT, grace_s), (signal.SIGABRT, DUMP_S)):
        if process.poll() is not None:
            return
        with suppress(ProcessLookupError):
            if number == signal.SIGINT:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def _kill_all(process: subprocess.Popen[bytes], mark: str) -> None:
    """Kill a process and all that it started, whatever their session or parent is by now."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for _ in range(KILLING_TRIES):  # a process may start another before it is killed
        pids = _marked(mark)
        if not pids:
            return
        kill(pids)
        time.sleep(0.05)


def _marked(mark: str) -> list[int]:
    """Return the processes with this variable in their environment; only Linux tells them."""
    pids = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # another user's process, or one that has just ended
            if mark.encode() in path.read_bytes():
                pids.append(int(path.parent.name))
    return pids
