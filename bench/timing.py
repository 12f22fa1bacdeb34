"""Clocks and windows: the only place that synchronises a device.

What is inside the clock: the forward call and the wait for the device. Input data are on the device before it starts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """What measuring needs of a device and its time; tests bring their own."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    def synchronize(self) -> None:
        """Wait until the device has done all it was given."""
        ...


class CpuClock:
    """Calls on a CPU return when they are done."""

    def now(self) -> float:
        return time.perf_counter()

    def synchronize(self) -> None:
        pass


class CudaClock(CpuClock):
    """Waits for every stream of one CUDA device."""

    def __init__(self, device: str) -> None:
        self.device = device

    def synchronize(self) -> None:
        import torch

        torch.cuda.synchronize(self.device)


class MpsClock(CpuClock):
    """Waits for Apple's GPU."""

    def synchronize(self) -> None:
        import torch

        torch.mps.synchronize()


def clock_for(device: str) -> Clock:
    """The clock of a torch device string."""
    if device.startswith("cuda"):
        return CudaClock(device)
    return MpsClock() if device == "mps" else CpuClock()


def each_call(call: Callable[[], object], clock: Clock, *, window: float) -> list[float]:
    """Seconds of each call, waiting for the device after every one, until `window` seconds have passed.

    At least one call is made, however long it takes.
    """
    seconds: list[float] = []
    clock.synchronize()
    while not seconds or sum(seconds) < window:
        start = clock.now()
        call()
        clock.synchronize()
        seconds.append(clock.now() - start)
    return seconds


def back_to_back(call: Callable[[], object], clock: Clock, *, calls: int) -> float:
    """Seconds that `calls` calls take together, waiting for the device once, at the end."""
    clock.synchronize()
    start = clock.now()
    for _ in range(calls):
        call()
    clock.synchronize()
    return clock.now() - start


def warm_up(call: Callable[[], object], clock: Clock, *, window: float, agree: float, windows: int) -> tuple[list[float], bool]:
    """Run windows until the medians of two in a row agree within the share `agree`; at most `windows` of them.

    Returns the window medians in seconds per call, and whether they came to agree.
    """
    medians: list[float] = []
    while len(medians) < windows:
        times = sorted(each_call(call, clock, window=window))
        medians.append(times[len(times) // 2])
        if len(medians) > 1 and abs(medians[-1] / medians[-2] - 1) <= agree:
            return medians, True
    return medians, False
