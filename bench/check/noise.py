"""The noise reading: how much the speed of one matrix product varies from window to window."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.analysis.grade import MOST_OFF, UNSTEADY
from bench.devices import kind_of
from bench.measure import machine, process_settings
from bench.measure.disturbance import State
from bench.measure.gpu import gpu_for

WINDOW_S = 0.1
FEWEST_WINDOWS = 3
WARM_UP = 3
"""Products before the first window."""
QUIET, NOISY = 0.03, 0.10
"""Spread up to which a machine is quiet, and from which on it is noisy."""
OFTEN = 0.2
"""Share of disturbed windows from which on a machine is noisy, whatever its spread."""


@dataclass(frozen=True)
class Noise:
    """The speed of every window in MAC/s, and how many windows other programs disturbed."""

    speeds: list[float]
    disturbed: int

    @property
    def spread(self) -> float:
        """The range of the middle 90 % of the windows, as a share of the median."""
        cuts = statistics.quantiles(self.speeds, n=20)
        return (cuts[-1] - cuts[0]) / self.median

    @property
    def median(self) -> float:
        """The median speed in MAC/s."""
        return statistics.median(self.speeds)

    @property
    def is_unfit(self) -> bool:
        """True if a run under such noise would be graded `do not use`."""
        return self.spread > UNSTEADY or self.disturbed > MOST_OFF * len(self.speeds)

    @property
    def is_low(self) -> bool:
        """True if the noise needs no mention."""
        return self.spread < NOISY and self.disturbed < OFTEN * len(self.speeds)

    @property
    def word(self) -> str:
        """The spread in a word."""
        if self.spread < QUIET:
            return "quiet"
        return "usable" if self.spread < NOISY else "noisy"


def read_noise(device: str, seconds: float, now: Callable[[], float] = time.perf_counter) -> Noise:
    """Compute one matrix product over and over for `seconds`, in windows of a tenth of a second."""
    import torch

    from bench.measure.timing import clock_for

    process_settings.fix(machine.cores())
    clock = clock_for(device)
    state = State(gpu_for(device), device=device)
    pid = os.getpid()
    side = kind_of(device).noise_side
    matrix = torch.randn(side, side, device=device)
    for _ in range(WARM_UP):
        matrix @ matrix
    clock.synchronize()
    speeds: list[float] = []
    disturbed = 0
    end = now() + seconds
    while now() < end or len(speeds) < FEWEST_WINDOWS:
        state.begin(pid)
        begin, calls = now(), 0
        while now() - begin < WINDOW_S:
            matrix @ matrix
            clock.synchronize()
            calls += 1
        speeds.append(calls * side**3 / (now() - begin))
        disturbed += state.end(pid)[1] is not None
    return Noise(speeds, disturbed)
