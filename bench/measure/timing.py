"""Clocks and windows: the only place that synchronises a device.

What is inside the clock: the forward call and the wait for the device. Input data are on the device before it starts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Times:
    """Seconds of one call: as a user waits for it, until the call returned, and from the device's first event to its last.

    Between those two a device also waits for what the host has not launched yet.
    """

    wall: float
    host: float
    device: float


class Clock(Protocol):
    """What measuring needs of a device and its time; tests bring their own."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    def synchronize(self) -> None:
        """Wait until the device has done all it was given."""
        ...

    def timed(self, call: Callable[[], object]) -> Times:
        """Make one call and wait for the device, which has nothing else to do."""
        ...


class CpuClock:
    """Calls on a CPU return when they are done."""

    def now(self) -> float:
        return time.perf_counter()

    def synchronize(self) -> None:
        pass

    def timed(self, call: Callable[[], object]) -> Times:
        start = self.now()
        call()
        wall = self.now() - start
        return Times(wall, wall, wall)


class CudaClock(CpuClock):
    """Waits for every stream of one CUDA device; times on the device are those between two of its events."""

    def __init__(self, device: str) -> None:
        self.device = device

    def synchronize(self) -> None:
        import torch

        torch.cuda.synchronize(self.device)

    def timed(self, call: Callable[[], object]) -> Times:
        import torch

        with torch.cuda.device(self.device):
            first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start = self.now()
            first.record()
            call()
            last.record()
            returned = self.now()
        self.synchronize()
        return Times(self.now() - start, returned - start, first.elapsed_time(last) / 1000)


class MpsClock(CpuClock):
    """Waits for Apple's GPU; what its device alone took is not read."""

    def synchronize(self) -> None:
        import torch

        torch.mps.synchronize()

    def timed(self, call: Callable[[], object]) -> Times:
        start = self.now()
        call()
        returned = self.now()
        self.synchronize()
        wall = self.now() - start
        return Times(wall, returned - start, wall)


def clock_for(device: str) -> Clock:
    """The clock of a torch device string."""
    if device.startswith("cuda"):
        return CudaClock(device)
    return MpsClock() if device == "mps" else CpuClock()


def each_call(call: Callable[[], object], clock: Clock, *, window: float) -> list[Times]:
    """Each call by itself, waiting for the device after every one, until `window` seconds have passed.

    At least one call is made, however long it takes.
    """
    times: list[Times] = []
    clock.synchronize()
    while not times or sum(one.wall for one in times) < window:
        times.append(clock.timed(call))
    return times


def back_to_back(call: Callable[[], object], clock: Clock, *, calls: int) -> float:
    """Seconds that `calls` calls take together, waiting for the device once, at the end."""
    clock.synchronize()
    start = clock.now()
    for _ in range(calls):
        call()
    clock.synchronize()
    return clock.now() - start


@dataclass(frozen=True)
class WarmUp:
    """How a warm-up went: seconds per call of each window, and whether the last two agreed and the clock was flat."""

    medians: list[float]
    steady: bool


def warm_up(
    call: Callable[[], object],
    clock: Clock,
    *,
    window: float,
    agree: float,
    windows: int,
    cap: float,
    frequency: Callable[[], float | None] = lambda: None,
) -> WarmUp:
    """Run windows until the medians of two in a row agree within the share `agree`.

    At most `windows` of them, and after two no more than fit into `cap` seconds. `frequency` is the device's clock where
    it can be read: it has to agree within `FLAT` too.
    """
    medians: list[float] = []
    clocks: list[float | None] = []
    start = clock.now()
    while len(medians) < 2 or (len(medians) < windows and clock.now() - start < cap):
        medians.append(statistics.median(one.wall for one in each_call(call, clock, window=window)))
        clocks.append(frequency())
        if (
            len(medians) > 1
            and abs(medians[-1] / medians[-2] - 1) <= agree
            and _flat(clocks[-2], clocks[-1])
        ):
            return WarmUp(medians, True)
    return WarmUp(medians, False)


FLAT = 0.02
"""Share by which a GPU's clock may differ between two windows of a finished warm-up."""


def _flat(before: float | None, after: float | None) -> bool:
    return before is None or after is None or abs(after / before - 1) <= FLAT


@dataclass(frozen=True)
class Replay(Generic[T]):
    """A call that was captured in a CUDA graph: replays it, and returns the output that it fills."""

    graph: Any
    output: T

    def __call__(self) -> T:
        self.graph.replay()
        return self.output


def pool_of(call: Callable[[], object]) -> tuple[int, int] | None:
    """The pool of memory that a captured graph has to itself; None for a call that is none."""
    return call.graph.pool() if isinstance(call, Replay) else None


def capture(call: Callable[[], T], device: str) -> Replay[T]:
    """`call` as a CUDA graph.

    A few calls on a side stream come first: libraries choose kernels and allocate workspaces in them, which cannot be
    captured.
    """
    import torch

    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(device), torch.cuda.graph(graph):
        output = call()
    return Replay(graph, output)
