"""Which core each thread of a timed process runs on: every one on its own, the same for all arms.

Left to the system, threads move, and a process keeps for seconds what it happened to get. On two shared cores, of which
now one and now the other was disturbed, the ratio of two equal processes that took turns wandered with that: its rounds
were correlated (0.25 to 0.35 from one to the next) and spread by 17 to 25 %; with each thread on its own core not
correlated, and by 12 to 17 %. An interval over rounds holds only where these are independent.

OpenMP does it, not we: its threads end and start again as loops need fewer or more of them, and each has to find its
place. It is told by its variables, which it reads once, when it is loaded: in the server that workers are forked from.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.record import Scalar

SAID = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
"""What a user may have said; it holds then."""
RUNTIMES = ("libgomp", "libiomp", "libomp")
MAPS = Path("/proc/self/maps")

_first: set[int] = set()
"""The core that OpenMP has for the thread that starts its loops; empty where it binds none."""


def described(environment: Mapping[str, str] | None = None) -> dict[str, Scalar]:
    """What holds, for the record: what the user said, else that threads have cores of their own, else nothing."""
    environment = os.environ if environment is None else environment
    said: dict[str, Scalar] = {name.lower(): environment[name] for name in SAID if name in environment}
    return said if said or sys.platform != "linux" else {"threads_placed": "one a core"}


@contextmanager
def asked_for() -> Iterator[None]:
    """What is started within has OpenMP place its threads, unless the user has said otherwise."""
    ours = {"OMP_PLACES": ",".join(f"{{{core}}}" for core in _allowed()), "OMP_PROC_BIND": "close"} if "threads_placed" in described() else {}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]


def release() -> None:
    """In a process forked from such a server: the thread itself may go everywhere again, and what it starts is told nothing.

    Compilers and processes that load images would otherwise all be on the first core.
    """
    places = os.environ.get("OMP_PLACES", "")
    if sys.platform != "linux" or not places.startswith("{"):
        return
    _first.update(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {int(place.strip("{}")) for place in places.split(",")})
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
