"""The largest batch that one forward pass takes within the memory: doubled until it fails, then bisected."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch

from bench.measure import process_settings
from bench.measure.disturbance import free_memory
from bench.measure.memory import is_out_of_memory
from bench.measure.subject import SpeedSubject
from bench.plugins import Metric, Reading, metrics

SHARE = 0.8
"""Of the free memory on a CPU that the search may take: beyond it the system kills somebody else."""
LONGEST = 30.0
"""Seconds of one call after which the search stops; the batch found until then is a lower bound and says so."""


def measure(subject: SpeedSubject, window: float) -> Reading:
    """Images; `detail` holds the memory limit and, where time ended the search, `at_least`."""
    limit = subject.memory_limit
    if limit is None and not subject.device.startswith("cuda"):
        free = free_memory(subject.device)
        if free is None:
            raise NotImplementedError(
                "the free memory of this system cannot be read; --worker-memory sets a limit"
            )
        limit = int(SHARE * free)
        process_settings.limit_memory(limit, subject.device)
    longest = 0.0

    def fits(batch: int) -> bool:
        nonlocal longest
        subject.progress(f"trying {batch} images")
        start = subject.clock.now()
        fitted = attempt(subject, batch)
        longest = subject.clock.now() - start
        return fitted

    best, bounded = search(fits, lambda: longest > LONGEST)
    if best == 0:
        raise MemoryError("not even one image fits")
    return Reading([float(best)], {"memory_limit": limit, "at_least": bounded})


def search(fits: Callable[[int], bool], too_long: Callable[[], bool]) -> tuple[int, bool]:
    """The largest number for which `fits`, to one in 32, and whether `too_long` ended the search before a failure."""
    low, high = 0, 1
    while fits(high):
        low, high = high, 2 * high
        if too_long():
            return low, True
    while high - low > max(1, low // 32):
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low, False


def attempt(subject: SpeedSubject, batch: int) -> bool:
    """Whether one call with this many images ends without running out of memory."""
    try:
        subject.capacity_call(batch)()
        subject.clock.synchronize()
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            return False
        raise
    finally:
        gc.collect()
        if subject.device.startswith("cuda"):
            torch.cuda.empty_cache()
    return True


metrics.add(
    Metric(
        name="largest_batch",
        unit="image",
        better="higher",
        arm="speed",
        mode="capacity",
        batch=1,
        rounds=1,
        on_request=True,
        measure=measure,
        summary="largest batch whose forward pass fits into memory",
    )
)
