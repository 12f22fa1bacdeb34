"""Clocks and windows; the only module that synchronises a device.

The measured time covers the forward call and the wait for the device. Inputs are on the device
before the clock starts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from bench.devices import CPU, CUDA, MPS, kind_of

T = TypeVar("T")


@dataclass(frozen=True)
class Times:
    """Seconds of one call."""

    wall: float
    """From the call until the device is done."""
    host: float
    """From the call until it returns."""
    device: float
    """From the device's first event to its last, with the waits for kernels not yet launched."""


class Clock(Protocol):
    """The time of a device; tests have an implementation of their own."""

    def now(self) -> float:
        """Return seconds on a clock that never goes back."""
        ...

    def synchronize(self) -> None:
        """Wait until the device has finished all work."""
        ...

    def timed(self, call: Callable[[], object]) -> Times:
        """Time one call on an otherwise idle device."""
        ...


class CpuClock:
    """A CPU, where calls return when they are done."""

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
    """A CUDA device: waits for all of its streams; device times are between two events."""

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
    """An Apple GPU, whose device time is not available."""

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
    """Return the clock for a PyTorch device string.

    Raises NotImplementedError for a kind of device that none here can wait for.
    """
    kind = kind_of(device)
    if kind is CPU:
        return CpuClock()
    if kind is CUDA:
        return CudaClock(device)
    if kind is MPS:
        return MpsClock()
    raise NotImplementedError(f"there is no clock that waits for {kind.name} devices")


def each_call(call: Callable[[], object], clock: Clock, *, window: float) -> list[Times]:
    """Time calls one by one until they add up to `window` seconds; at least one.

    The device is synchronised after every call.
    """
    times: list[Times] = []
    clock.synchronize()
    while not times or sum(call.wall for call in times) < window:
        times.append(clock.timed(call))
    return times


def back_to_back(call: Callable[[], object], clock: Clock, *, calls: int) -> float:
    """Return the seconds that `calls` calls take, with one wait for the device at the end."""
    return filled(call, clock, calls=calls).seconds


@dataclass(frozen=True)
class Filled:
    """A window of calls that were made back to back."""

    seconds: float
    """From the first call until the device is done."""
    tail: float
    """Seconds of waiting for the device after the last call returned. If that is less than a call
    takes, the device has waited for the host and not the other way round."""


def filled(call: Callable[[], object], clock: Clock, *, calls: int) -> Filled:
    """Make calls back to back, with one wait for the device at the end."""
    clock.synchronize()
    start = clock.now()
    for _ in range(calls):
        call()
    returned = clock.now()
    clock.synchronize()
    end = clock.now()
    return Filled(end - start, end - returned)


@dataclass(frozen=True)
class WarmUp:
    """The result of a warm-up."""

    medians: list[float]
    """Median seconds per call, by window."""
    steady: bool
    """True if the last two windows agreed and the device's clock was constant."""


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
    """Run windows until the medians of two consecutive windows agree within the share `agree`.

    Runs at most `windows` windows and, after the second one, for at most `cap` seconds. `frequency`
    returns the device's clock, if it can be read; it has to agree within `FLAT` too.
    """
    medians: list[float] = []
    clocks: list[float | None] = []
    start = clock.now()
    while len(medians) < 2 or (len(medians) < windows and clock.now() - start < cap):
        times = each_call(call, clock, window=window)
        medians.append(statistics.median(time.wall for time in times))
        clocks.append(frequency())
        if len(medians) < 2:
            continue
        if abs(medians[-1] / medians[-2] - 1) <= agree and _flat(clocks[-2], clocks[-1]):
            return WarmUp(medians, True)
    return WarmUp(medians, False)


FLAT = 0.02
"""Share by which a GPU's clock may differ between the last two windows of a warm-up."""


def _flat(before: float | None, after: float | None) -> bool:
    return before is None or after is None or abs(after / before - 1) <= FLAT


@dataclass(frozen=True)
class Replay(Generic[T]):
    """A call captured in a CUDA graph: replays the graph and returns its output tensor."""

    graph: Any
    output: T

    def __call__(self) -> T:
        self.graph.replay()
        return self.output


def pool_of(call: Callable[[], object]) -> tuple[int, int] | None:
    """Return the memory pool of a captured graph; None for any other call."""
    return call.graph.pool() if isinstance(call, Replay) else None


def capture(call: Callable[[], T], device: str) -> Replay[T]:
    """Capture `call` in a CUDA graph.

    A few calls on a side stream come first, in which libraries choose kernels and allocate
    workspaces; neither can be captured.
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
