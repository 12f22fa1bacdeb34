"""Priority of a timed process, and the cores it uses. Loaded by the timing server.

Like the server it runs in the side's own interpreter, and needs the standard library alone.
"""

from __future__ import annotations

import os
import sys
import threading
import time

OURS = "BENCH_CORES"
"""Lists the cores that OpenMP was told to bind threads to, as in bench/measure/cpu_placement.py."""
ONE_BUSY = (0.7, 1.1)
"""CPU time over wall time of calls that keep one core busy: without waiting, without help."""


def go_first(niceness: int | None) -> None:
    """Take the priority that the comparison found to be allowed; None: none."""
    if niceness is None:
        return
    try:
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
        if os.getsid(0) == os.getpid():
            with open("/proc/self/autogroup", "w") as group:
                group.write(str(niceness))
    except OSError:
        pass


def release() -> set[int]:
    """Let the main thread go where it may; return the core that OpenMP had bound it to."""
    cores = os.environ.pop(OURS, None)
    if cores is None:
        return set()
    os.environ.pop("OMP_PLACES", None)
    os.environ.pop("OMP_PROC_BIND", None)
    bound = os.sched_getaffinity(0)
    allowed = {int(core) for core in cores.split(",")}
    os.sched_setaffinity(0, allowed)
    return bound if bound != allowed else set()


def settle(cores: set[int]) -> None:
    """Bind the main thread again, once what it imports and compiles is done."""
    if cores:
        os.sched_setaffinity(0, cores)


threads_started = 0
"""The number of threads that Python code has started since this file was loaded."""


def count_threads() -> None:
    """Have every thread counted in `threads_started`."""
    start = threading.Thread.start

    def counted(thread: threading.Thread) -> None:
        global threads_started
        threads_started += 1
        start(thread)

    threading.Thread.start = counted  # type: ignore[method-assign, assignment]


def used() -> tuple[float, float]:
    """Return seconds by the wall clock, and of this process's CPU time."""
    return time.perf_counter(), time.process_time()


def keeps_one_busy(before: tuple[float, float], after: tuple[float, float]) -> bool:
    """Return whether the calls between two readings ran in this thread alone, without waiting.

    The thread must never have started another one either: its calls may do so again.
    """
    if sys.platform != "linux" or threads_started:
        return False
    wall, own = after[0] - before[0], after[1] - before[1]
    waited_for = os.times()
    return (
        ONE_BUSY[0] * wall <= own <= ONE_BUSY[1] * wall
        and len(os.listdir("/proc/self/task")) == 1
        and waited_for.children_user == waited_for.children_system == 0
        and not has_children()
    )


def has_children() -> bool:
    """Return whether a process that this one started is alive (Linux)."""
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and parent_of(name) == os.getpid():
                return True
        except OSError:  # it has ended
            continue
    return False


def parent_of(pid: str) -> int:
    """Return the process that started another (Linux)."""
    with open(f"/proc/{pid}/stat", "rb") as stat:
        return int(stat.read().rpartition(b")")[2].split()[1])


count_threads()
