"""What the machine does beside a window: how much of it others took, and how the GPU felt.

A window is disturbed where others took more than a share of the processors, or heat or a fault slowed a GPU; that its own work
brought it to its power limit is noted, and disturbs nothing. Such windows are marked and repeated; they are never dropped.
What was left to a window on a CPU is kept (`left`): where two windows are compared, what each did as a whole is held against
its own share. On two cores beside two processes that came and went, that took the standard deviation of a round's log-ratio
from 0.33 to 0.12, and the exponent that did best was 1.0. The median of many calls is hardly moved by others that come now
and then, and stays as it was measured.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from bench.measure.gpu import OWN, Gpu
from bench.measure.memory import in_file
from bench.record.schema import Scalar

TAKEN = 0.10
TICKS = 5
"""Others may take this share of the processors' time from a window, or this many ticks (10 ms): less is the ticks' own
coarseness."""


class State:
    """Watches one window at a time: `begin`, `glance` as often as there is time, `end`."""

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
        """A window of process `pid` starts."""
        self._before, self._seen = self._read(pid), []

    def glance(self) -> None:
        """Look at the GPU while the window runs."""
        if self._gpu is not None:
            self._seen.append(self._gpu.state())

    def end(self, pid: int) -> tuple[dict[str, Scalar], str | None]:
        """What was seen, and why the window counts as disturbed, if it does."""
        state, trouble = self._cpu(pid)
        if self._seen:
            for name in ("clock_mhz", "temperature_c", "power_w"):
                if found := [float(seen[name] or 0) for seen in self._seen if name in seen]:
                    state |= {f"{name}_min": min(found), f"{name}_max": max(found)}
            said = ", ".join(str(seen["throttle"]) for seen in self._seen if seen.get("throttle"))
            reasons = set(said.split(", ")) if said else set()
            if reasons:
                state["throttle"] = ", ".join(sorted(reasons))
            if reasons - {OWN}:
                trouble.append(f"throttled: {', '.join(sorted(reasons - {OWN}))}")
        return state, "; ".join(trouble) or None

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
        # The window of another device is fed by one thread; what the other cores do matters little to it.
        if not self._on_cpu or taken <= TAKEN or taken * total < TICKS:
            return state, []
        state["left"] = round(max(0.01, 1 - taken), 3)
        who = "other guests of the host" if steal > other else "other programs"
        return state, [f"{taken:.0%} of the processors taken, most by {who}"]


def ticks(pid: int) -> tuple[int, int, int, int] | None:
    """Ticks of the processors that this process may use: in total, busy, stolen; and those that process `pid` used.

    Linux only; elsewhere None.
    """
    try:
        lines = [
            line.split()
            for line in Path("/proc/stat").read_text().splitlines()
            if line.startswith("cpu")
        ]
        mine = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        rows = [[int(field) for field in line[1:9]] for line in lines if line[0] in mine]
        process = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    if not rows:
        return None
    user, nice, system, idle, waiting, hard, soft, steal = (
        sum(column) for column in zip(*rows, strict=True)
    )
    busy = user + nice + system + hard + soft
    return busy + idle + waiting + steal, busy, steal, int(process[11]) + int(process[12])


def free_memory(device: str, gpu: Gpu | None = None) -> int | None:
    """Bytes that a new worker could take: of the GPU, or of the system within its control group; None where unknown.

    A CUDA device whose memory nobody can read has an unknown amount: the system's says nothing of it.
    """
    if device.startswith("cuda"):
        return gpu.free() if gpu is not None else None
    found = [
        value
        for value in (in_file(Path("/proc/meminfo"), "MemAvailable"), _group())
        if value is not None
    ]
    return min(found, default=None)


def _group() -> int | None:
    """What a container's limit leaves (control groups version 2)."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = (
            (folder / "memory.max").read_text().strip(),
            int((folder / "memory.current").read_text()),
        )
        details = (folder / "memory.stat").read_text().splitlines()
    except OSError:
        return None
    # Files that were read stay in memory until somebody needs it.
    cache = next((int(line.split()[1]) for line in details if line.startswith("inactive_file ")), 0)
    return None if limit == "max" else max(0, int(limit) - used + cache)
