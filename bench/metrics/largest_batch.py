"""The largest batch whose forward pass fits into memory: doubled until it fails, then bisected."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch

from bench.devices import CUDA, kind_of
from bench.measure import process_settings
from bench.measure.disturbance import free_memory
from bench.measure.memory import is_out_of_memory
from bench.measure.subject import SpeedSubject
from bench.plugins import Metric, Reading, metrics

SHARE = 0.8
"""Share of the free memory that the search may use on a CPU; with more, the system may kill other
programs."""
LONGEST = 30.0
"""Seconds of one call after which the search stops; the result is then marked as a lower bound."""


def measure(subject: SpeedSubject, window: float) -> Reading:
    """Return images; `detail` has the memory limit, and `at_least` is true for a lower bound."""
    limit = subject.memory_limit
    if limit is None and not kind_of(subject.device).has_own_memory:
        free = free_memory(subject.device)
        if free is None:
            raise NotImplementedError(
                "the free memory of this system cannot be read; set a limit with --worker-memory"
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
        raise MemoryError("a batch of one image does not fit")
    return Reading([float(best)], {"memory_limit": limit, "at_least": bounded})


def search(fits: Callable[[int], bool], too_long: Callable[[], bool]) -> tuple[int, bool]:
    """Return the largest number that `fits`, to within 1 in 32.

    The second value is true if `too_long` ended the search before any number failed.
    """
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
    """True if one call with this many images does not run out of memory."""
    try:
        subject.capacity_call(batch)()
        subject.clock.synchronize()
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            return False
        raise
    finally:
        gc.collect()
        if kind_of(subject.device) is CUDA:
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
