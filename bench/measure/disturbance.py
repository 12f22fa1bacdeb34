"""Disturbances of a measuring window: CPU time that other programs took, and GPU throttling.

A window is disturbed if other programs took more than a share of the CPU time, or if heat or a
fault slowed the GPU down. Reaching the power limit by its own load is recorded, but is not a
disturbance. Disturbed windows are marked and repeated, never dropped.

The share of CPU time left to a window is stored (`left`). When two windows are compared, the total
of each is divided by its own share. On two cores next to two processes that came and went, this
reduced the standard deviation of a round's log-ratio from 0.33 to 0.12; the best exponent of the
share was 1.0. The median of many calls hardly moves with occasional disturbances and is not
corrected.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from bench.devices import kind_of
from bench.measure.gpu import OWN, Gpu
from bench.measure.memory import in_file
from bench.record.schema import Scalar

TAKEN = 0.10
TICKS = 5
"""Other programs may take this share of the CPU time of a window, or this many ticks (10 ms); less
is within the resolution of the ticks."""


class State:
    """Watches one window at a time: `begin`, any number of `glance`, `end`."""

    def __init__(
        self,
        gpu: Gpu | None = None,
        read: Callable[[int], tuple[int, int, int, int] | None] | None = None,
        *,
        device: str = "cpu",
    ) -> None:
        self._gpu = gpu
        self._on_cpu = device == "cpu"
        self._read = read or ticks
        self._before: tuple[int, int, int, int] | None = None
        self._seen: list[dict[str, Scalar]] = []

    def begin(self, pid: int) -> None:
        """Start a window of process `pid`."""
        self._before, self._seen = self._read(pid), []

    def glance(self) -> None:
        """Read the GPU's state during the window."""
        if self._gpu is not None:
            self._seen.append(self._gpu.state())

    def end(self, pid: int) -> tuple[dict[str, Scalar], str | None]:
        """Return the readings, and why the window counts as disturbed (None if it does not)."""
        state, trouble = self._cpu(pid)
        state |= self._extremes()
        reasons = self._throttling()
        if reasons:
            state["throttle"] = ", ".join(sorted(reasons))
        if reasons - {OWN}:
            trouble.append(f"throttled: {', '.join(sorted(reasons - {OWN}))}")
        return state, "; ".join(trouble) or None

    def _extremes(self) -> dict[str, Scalar]:
        """Return the smallest and largest GPU readings of the window."""
        extremes: dict[str, Scalar] = {}
        for name in ("clock_mhz", "temperature_c", "power_w"):
            readings = [float(seen[name] or 0) for seen in self._seen if name in seen]
            if readings:
                extremes[f"{name}_min"] = min(readings)
                extremes[f"{name}_max"] = max(readings)
        return extremes

    def _throttling(self) -> set[str]:
        reasons: set[str] = set()
        for seen in self._seen:
            if seen.get("throttle"):
                reasons.update(str(seen["throttle"]).split(", "))
        return reasons

    def _cpu(self, pid: int) -> tuple[dict[str, Scalar], list[str]]:
        before, after = self._before, self._read(pid)
        if before is None or after is None:
            return {}, []
        total, busy, stolen, mine = (
            late - early for late, early in zip(after, before, strict=True)
        )
        if total <= 0:
            return {}, []
        steal, other = stolen / total, max(0.0, (busy - mine) / total)
        state: dict[str, Scalar] = {"steal": round(steal, 3), "other": round(other, 3)}
        taken = steal + other
        # A GPU's window needs one CPU thread only, so the load of the other cores hardly matters.
        if not self._on_cpu or taken <= TAKEN or taken * total < TICKS:
            return state, []
        state["left"] = round(max(0.01, 1 - taken), 3)
        who = "other guests of the host" if steal > other else "other programs"
        return state, [f"{taken:.0%} of the processors taken, most by {who}"]


def ticks(pid: int) -> tuple[int, int, int, int] | None:
    """Return the ticks of the cores that this process may use: total, busy, stolen, used by `pid`.

    Linux only; None on other systems.
    """
    try:
        mine = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        lines = Path("/proc/stat").read_text().splitlines()
        rows = [list(map(int, line.split()[1:9])) for line in lines if line.split()[0] in mine]
        process = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    if not rows:
        return None
    user, nice, system, idle, waiting, hard, soft, steal = map(sum, zip(*rows, strict=True))
    busy = user + nice + system + hard + soft
    return busy + idle + waiting + steal, busy, steal, int(process[11]) + int(process[12])


def free_memory(device: str, gpu: Gpu | None = None) -> int | None:
    """Return the bytes that a new worker could allocate: on the GPU, or within the control group.

    Returns None if unknown. The system's memory says nothing about a device's own.
    """
    if kind_of(device).has_own_memory:
        return gpu.free() if gpu is not None else None
    limits = (in_file(Path("/proc/meminfo"), "MemAvailable"), _group())
    return min((limit for limit in limits if limit is not None), default=None)


def _group() -> int | None:
    """Return what the limit of a container leaves (control groups version 2)."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        details = (folder / "memory.stat").read_text().splitlines()
    except OSError:
        return None
    # The page cache counts as used, but the kernel frees it on demand.
    cache = next((int(line.split()[1]) for line in details if line.startswith("inactive_file ")), 0)
    return None if limit == "max" else max(0, int(limit) - used + cache)
