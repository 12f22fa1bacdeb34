"""Scheduling of a process that is timed on a CPU: high priority, and one core per thread.

Left to the system, threads migrate, and a process keeps a lucky or unlucky placement for seconds.
On two shared cores, with other programs using now one core and now the other, the ratio of two
equal processes that took turns drifted with the placement: consecutive rounds were correlated (0.25
to 0.35) and their spread was 17 to 25 %. With each thread bound to its own core there was no
correlation, and the spread was 12 to 17 %. A confidence interval over rounds needs independent
rounds.

A bound thread cannot leave its core when other programs use it. Threads are therefore bound only if
the process may raise its own priority. Without that priority, next to two processes that were busy
by turns, the interval of ViT-S/16 to ResNet-50 was ±11 % with bound threads and ±7 % without.

OpenMP does the binding, because its threads end and start again as loops need fewer or more of
them. It reads its environment variables once, when it is loaded: in the server that workers are
forked from.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # this file also runs as a script, which must not import bench
    from bench.record.schema import Scalar

NICENESS = -20
"""With this value the scheduler gives a thread 99 % of a core shared with one of niceness 0; it
is the usual `nice -n -20` of manual measurements. Next to two busy processes it halved the interval
of the ratio of ViT-S/16 to ResNet-50 (±4 % instead of ±8 % in 41 s). With -10, 90 % of the core,
ResNet-50 still lost 5 % more than ViT-S/16: where work is split into short parallel parts, all
threads wait for one that was preempted."""
AUTOGROUP = Path("/proc/self/autogroup")
"""The niceness of this process's session, on kernels that divide the CPU between sessions first
(the default of many systems); the niceness of a process then counts only within its session. Next
to one busy process of another session on the same core, a process of niceness -20 got 0.25 of the
core; after its own session was given priority it got 0.97 to 1.00."""
TRIALS, TRIED_S, LONGEST_TRIAL_S = 3, 0.15, 2.0
"""Trials at most, seconds of CPU time in one, and the longest it may take by the wall clock."""
GETS = 0.85
"""The share of a core that a process with priority must get next to another one. 0.98 is usual, but
with ticks of 10 ms the reading itself can be off by a tenth."""
SAID = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
"""Environment variables with which a user places threads; ours are not set then."""
OURS = "BENCH_CORES"
"""Passes the list of cores to processes that are started with our placement; not set if the
placement is the user's."""
RUNTIMES = ("libgomp", "libiomp", "libomp")
MAPS = Path("/proc/self/maps")

_first: set[int] = set()
"""The core that OpenMP reserves for the thread that starts its loops; empty if it binds none."""


def go_first() -> None:
    """Raise this process's priority, if that is permitted and the user has not set one (`nice`).

    Call it before threads start: on Linux they inherit the priority of the thread that starts them.
    """
    if hasattr(os, "setpriority") and niceness() == 0:
        # Only root and those it permits may do this; the record has the resulting niceness.
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
            _session_first()


def _session_first() -> None:
    """Raise the priority of the session too, after giving this process one of its own."""
    if not AUTOGROUP.exists():
        return
    with suppress(PermissionError):  # raised if it is already a process group leader
        os.setsid()
    if os.getsid(0) == os.getpid():
        with suppress(OSError):
            AUTOGROUP.write_text(str(NICENESS))


@contextmanager
def answering_first() -> Iterator[None]:
    """Raise this thread's priority for a while, if that is permitted.

    It is for a program that tells its processes when to start: between two windows it works for
    less than a millisecond, and would wait for several beside busy programs. Its session's priority
    stays, because the session is the user's.
    """
    asking = niceness()
    if asking == 0:
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    try:
        yield
    finally:
        be_as_nice_as(asking)


def core_for_one() -> int:
    """Return the core for every process of one thread: the last one allowed.

    The cores of a shared machine differ in speed from one moment to the next. The first one serves
    most interrupts.
    """
    return _allowed()[-1]


def niceness() -> int | None:
    """Return the niceness of this thread, from -20 (first) to 19 (last); None on other systems."""
    return os.getpriority(os.PRIO_PROCESS, 0) if hasattr(os, "getpriority") else None


def be_as_nice_as(asking: int | None) -> None:
    """Undo the niceness that a launcher gave this thread (Ray: 15), if that is permitted.

    `asking` is the niceness of the program that started the run; its user may have set it.
    """
    if asking is not None and niceness() not in (asking, None):
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, asking)


@lru_cache(maxsize=1)
def may_go_first() -> bool:
    """True if `go_first` works in processes started from now on (Linux).

    Runs a busy process and one with priority on the same core; takes a third of a second, once.
    Programs that have priority themselves can spoil a trial, so a failed one is repeated on the
    next core: the answer is part of a machine's fingerprint, and must not depend on who else is
    busy.
    """
    if sys.platform != "linux":
        return False
    cores = sorted(_allowed())
    for trial in range(TRIALS):
        share = _tried_share(cores[trial % len(cores)])
        if share >= GETS:
            return True
        if share == 0:
            return False
    return False


def _tried_share(core: int) -> float:
    """Return the share of a core next to a busy process; 0 without permission, NaN if unknown."""
    try:
        with (
            _started("busy", str(core)) as busy,
            _started("first", str(core), str(busy.pid)) as first,
        ):
            try:
                return float(first.communicate(timeout=20)[0])
            finally:
                busy.kill()
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        from bench.files.foreign_errors import raise_if_of_the_system

        raise_if_of_the_system(error)
        return math.nan


def _started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _busy(core: int, seconds: float = 10.0) -> None:
    """Keep one core busy, in a separate session as other users' programs are."""
    os.setsid()
    os.sched_setaffinity(0, {core})
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def _share_beside(core: int, other: int) -> float:
    """Return the share of CPU time that this process gets next to `other` after `go_first`.

    Returns 0 if the priority cannot be raised, NaN if the other process got no CPU time at all.
    """
    go_first()
    if niceness() != NICENESS:
        return 0.0
    os.sched_setaffinity(0, {core})
    end = time.monotonic() + LONGEST_TRIAL_S
    while _used(other) == 0:  # it has not started yet
        if time.monotonic() > end:
            return math.nan
        time.sleep(0.01)
    theirs, mine, end = _used(other), time.process_time(), time.monotonic() + LONGEST_TRIAL_S
    while time.process_time() - mine < TRIED_S and time.monotonic() < end:
        pass
    mine, theirs = time.process_time() - mine, _used(other) - theirs
    return mine / (mine + theirs)


def _used(pid: int) -> float:
    """Return the seconds of CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def described(environment: Mapping[str, str] | None = None) -> dict[str, Scalar]:
    """Return the settings for the record: the user's own, else those that `go_first` allows."""
    environment = os.environ if environment is None else environment
    said: dict[str, Scalar] = {
        name.lower(): environment[name] for name in SAID if name in environment
    }
    if said or not may_go_first():
        return said
    return {"goes_first": "verified", "threads_placed": "one a core"}


@contextmanager
def asked_for() -> Iterator[None]:
    """Have OpenMP bind the threads of programs started inside, unless the user configured it."""
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
    """Unbind this thread and remove our variables, in a process forked from the server.

    Otherwise compilers and image loaders would all run on the first core.
    """
    if (allowed := os.environ.pop(OURS, None)) is None:
        return
    _first.update(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {int(core) for core in allowed.split(",")})
    del os.environ["OMP_PLACES"], os.environ["OMP_PROC_BIND"]


def settle() -> None:
    """Bind the calling thread to the core that OpenMP reserved for it.

    Call it last: threads started afterwards stay on that core. Does nothing if two OpenMP libraries
    are loaded, because the second one does not know the placement and would put all of its threads
    on this core.
    """
    if _first and runtimes() == 1:
        os.sched_setaffinity(0, _first)


def places() -> list[int]:
    """Return the core of each thread, the calling one's first; empty if threads are not placed.

    For engines with threads of their own. Call it before `settle`.
    """
    return [*_first, *(core for core in _allowed() if core not in _first)] if _first else []


def runtimes() -> int:
    """Return the number of loaded OpenMP libraries (Linux)."""
    paths = {line.split(None, 5)[-1] for line in MAPS.read_text().splitlines() if line.count("/")}
    return sum(os.path.basename(path.strip()).startswith(RUNTIMES) for path in paths)


def cores() -> int | None:
    """Return the number of cores that the calling thread may run on; None if unknown."""
    return len(_allowed()) if sys.platform == "linux" else None


def _allowed() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []


if __name__ == "__main__":
    if sys.argv[1] == "busy":
        _busy(int(sys.argv[2]))
    else:
        print(_share_beside(int(sys.argv[2]), int(sys.argv[3])))
