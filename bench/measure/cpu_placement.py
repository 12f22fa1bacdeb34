"""How the system schedules a process that is timed on a CPU: before others, and every thread of it on a core of its own.

Left to the system, threads move, and a process keeps for seconds what it happened to get. On two shared cores, of which
now one and now the other was disturbed, the ratio of two equal processes that took turns wandered with that: its rounds
were correlated (0.25 to 0.35 from one to the next) and spread by 17 to 25 %; with each thread on its own core not
correlated, and by 12 to 17 %. An interval over rounds holds only where these are independent.

A thread that has one core cannot leave it when others want it. So threads are placed only where they come before others:
where they may not, and two processes were busy by turns, the interval of ViT-S/16 to ResNet-50 was 11 % either way with
threads placed, and 7 % without.

OpenMP does the placing, not we: its threads end and start again as loops need fewer or more of them, and each has to find
its place. It is told by its variables, which it reads once, when it is loaded: in the server that workers are forked from.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # this file is also run alone, in a process that tries what it gets
    from bench.record.schema import Scalar

NICENESS = -20
"""With this the scheduler gives a thread 99 of 100 parts of a core that it shares with one of niceness 0, as those want who
measure by hand with `nice -n -20`. Beside two busy processes the ratio of ViT-S/16 to ResNet-50 had an interval half as wide
as without (4 instead of 8 % either way in 41 s). With -10, nine tenths of the core, ResNet-50 still lost 5 % more than
ViT-S/16: where work is cut into short parallel parts, all threads wait for one that lost its turn."""
AUTOGROUP = Path("/proc/self/autogroup")
"""The niceness of this process's whole session, where the kernel shares the processors out by sessions first (the default of
many systems): niceness then orders a session's own processes alone. Beside one busy process of another session, on the same
core, a process of niceness -20 had 0.25 of the core; with a session of its own that comes first it had 0.97 to 1.00."""
TRIED_S = 0.15
GETS = 0.85
"""What a process that comes first has to get of the time that it shares with another one. 0.98 is usual; in ticks of 10 ms
a tenth can be their coarseness."""
SAID = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
"""What a user may have said; it holds then."""
OURS = "BENCH_CORES"
"""Tells those who are started with our places which cores there are; absent where the places are the user's."""
RUNTIMES = ("libgomp", "libiomp", "libomp")
MAPS = Path("/proc/self/maps")

_first: set[int] = set()
"""The core that OpenMP has for the thread that starts its loops; empty where it binds none."""


def go_first() -> None:
    """Have the system prefer this process to others, where it lets us and nobody has said otherwise (`nice`).

    Has to come before threads start, which take it from the one that starts them (Linux).
    """
    if hasattr(os, "setpriority") and niceness() == 0:
        with suppress(
            PermissionError
        ):  # only root and those it allows may; the record says what holds
            os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
            _session_first()


def _session_first() -> None:
    """Have this process's session come first too: one of its own, so that nothing else of the user's is preferred."""
    if not AUTOGROUP.exists():
        return
    with suppress(PermissionError):  # leads a group of processes already
        os.setsid()
    if os.getsid(0) == os.getpid():
        with suppress(OSError):
            AUTOGROUP.write_text(str(NICENESS))


def niceness() -> int | None:
    """What the scheduler makes of this thread: -20 comes first, 19 last; None where there is no such thing."""
    return os.getpriority(os.PRIO_PROCESS, 0) if hasattr(os, "getpriority") else None


def be_as_nice_as(asking: int | None) -> None:
    """Undo, where the system lets us, the niceness that a launcher gave this thread and nobody asked for (Ray: 15).

    `asking` is that of the program which began the run: what its user said with `nice` holds here too.
    """
    if asking is not None and niceness() not in (asking, None):
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, asking)


@lru_cache(maxsize=1)
def may_go_first() -> bool:
    """Whether `go_first` has its way in the processes to come (Linux): two of them are tried on one core, a busy one and one that
    goes first. Takes a third of a second, once.
    """
    if sys.platform != "linux":
        return False
    core = str(min(_allowed()))
    try:
        with _started("busy", core) as busy, _started("first", core, str(busy.pid)) as first:
            try:
                return float(first.communicate(timeout=20)[0]) >= GETS
            finally:
                busy.kill()
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return False


def _started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _busy(core: int, seconds: float = 10.0) -> None:
    """Be busy on one core, in a session of its own as other people's programs are."""
    os.setsid()
    os.sched_setaffinity(0, {core})
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def _share_beside(core: int, other: int) -> float:
    """What this process gets of the time that it and another one have together, where it goes first; 0 where it may not."""
    go_first()
    if niceness() != NICENESS:
        return 0.0
    os.sched_setaffinity(0, {core})
    while _used(other) == 0:  # it has not begun yet
        time.sleep(0.01)
    theirs, mine, end = _used(other), time.process_time(), time.monotonic() + TRIED_S
    while time.monotonic() < end:
        pass
    mine, theirs = time.process_time() - mine, _used(other) - theirs
    return mine / (mine + theirs)


def _used(pid: int) -> float:
    """Seconds of processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def described(environment: Mapping[str, str] | None = None) -> dict[str, Scalar]:
    """What holds, for the record: what the user said; else that processes go first, as was tried, and threads have cores of
    their own.
    """
    environment = os.environ if environment is None else environment
    said: dict[str, Scalar] = {
        name.lower(): environment[name] for name in SAID if name in environment
    }
    return (
        said
        if said or not may_go_first()
        else {"goes_first": "verified", "threads_placed": "one a core"}
    )


@contextmanager
def asked_for() -> Iterator[None]:
    """What is started within has OpenMP place its threads, unless the user has said otherwise."""
    ours: dict[str, str] = {}
    if "threads_placed" in described():
        cores = [str(core) for core in _allowed()]
        ours = {
            OURS: ",".join(cores),
            "OMP_PLACES": ",".join(f"{{{core}}}" for core in cores),
            "OMP_PROC_BIND": "close",
        }
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def release() -> None:
    """In a process forked from such a server: the thread itself may go everywhere again, and what it starts is told nothing.

    Compilers and processes that load images would otherwise all be on the first core.
    """
    if (allowed := os.environ.pop(OURS, None)) is None:
        return
    _first.update(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {int(core) for core in allowed.split(",")})
    del os.environ["OMP_PLACES"], os.environ["OMP_PROC_BIND"]


def settle() -> None:
    """The calling thread takes the core that OpenMP has left for it. Comes last: threads that it starts stay on that core.

    Not where there are two OpenMPs: the second one was told nothing, all its threads would crowd on this core.
    """
    if _first and runtimes() == 1:
        os.sched_setaffinity(0, _first)


def runtimes() -> int:
    """How many OpenMP libraries are loaded (Linux)."""
    paths = {line.split(None, 5)[-1] for line in MAPS.read_text().splitlines() if line.count("/")}
    return sum(os.path.basename(path.strip()).startswith(RUNTIMES) for path in paths)


def cores() -> int | None:
    """On how many cores the calling thread may run; None where that cannot be known."""
    return len(_allowed()) if sys.platform == "linux" else None


def _allowed() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []


if __name__ == "__main__":
    if sys.argv[1] == "busy":
        _busy(int(sys.argv[2]))
    else:
        print(_share_beside(int(sys.argv[2]), int(sys.argv[3])))
