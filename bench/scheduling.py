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
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.record import Scalar

NICENESS = -20
"""With this the scheduler gives a thread 99 of 100 parts of a core that it shares with one of niceness 0, as those want who
measure by hand with `nice -n -20`. Beside two busy processes the ratio of ViT-S/16 to ResNet-50 had an interval half as wide
as without (4 instead of 8 % either way in 41 s). With -10, nine tenths of the core, ResNet-50 still lost 5 % more than
ViT-S/16: where work is cut into short parallel parts, all threads wait for one that lost its turn."""
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
        with suppress(PermissionError):  # only root and those it allows may; the record says what holds
            os.setpriority(os.PRIO_PROCESS, 0, NICENESS)


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


def may_go_first() -> bool:
    """Whether `go_first` will have its way in the processes to come, tried on a thread of its own (Linux)."""
    found = [False]

    def attempt() -> None:
        go_first()
        found[0] = niceness() == NICENESS

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return found[0]


def described(environment: Mapping[str, str] | None = None) -> dict[str, Scalar]:
    """What holds, for the record: what the user said; else that threads have cores of their own, where that is so."""
    environment = os.environ if environment is None else environment
    said: dict[str, Scalar] = {name.lower(): environment[name] for name in SAID if name in environment}
    return said if said or sys.platform != "linux" or not may_go_first() else {"threads_placed": "one a core"}


@contextmanager
def asked_for() -> Iterator[None]:
    """What is started within has OpenMP place its threads, unless the user has said otherwise."""
    ours: dict[str, str] = {}
    if "threads_placed" in described():
        cores = [str(core) for core in _allowed()]
        ours = {OURS: ",".join(cores), "OMP_PLACES": ",".join(f"{{{core}}}" for core in cores), "OMP_PROC_BIND": "close"}
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
