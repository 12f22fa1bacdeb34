"""Peak memory of a call: the count of the GPU's allocator, or on a CPU the growth of this process.

On a CPU only anonymous pages count. Pages of files are library code: the first use of an operator
loads 31 to 34 MB of it, whatever the model. Training runs still count all pages, as in their
earlier records.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from bench.devices import kind_of
from bench.measure import allocator

SHARED = ("RssFile", "RssShmem")
"""Pages of files and of shared memory (proc(5)); the rest are anonymous."""
Pages = Literal["anonymous", "all"]
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def in_file(path: Path, field: str) -> int | None:
    """Return the bytes of the line `field: N kB` of a file in /proc; None if there is no such line
    or file."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return None


def of_process(field: str) -> int:
    """Return the bytes of `VmRSS` (now), `VmHWM` (peak) or `VmData` (private, writable) here."""
    found = in_file(STATUS, field)
    if found is None:
        raise OSError(f"{STATUS} has no {field}")
    return found


def is_out_of_memory(error: BaseException) -> bool:
    """True if an exception reports that the memory of the system or a device ran out."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    return "out of memory" in text or "can't allocate memory" in text


def before(device: str, *, pages: Pages = "anonymous") -> int:
    """Return the bytes in use before the model is built."""
    if kind_of(device).has_own_memory:
        return 0  # the process has no other use for the GPU, so the model causes all allocations
    if not STATUS.exists():
        return _peak_of_life()
    allocator.give_back()
    return of_process("VmRSS") - _shared(pages)


def counted(device: str) -> str:
    """Return what `peak` counts, for the record.

    That is "allocated" on a GPU, else "anonymous pages", or "all pages" if /proc has no details.
    """
    if kind_of(device).has_own_memory:
        return "allocated"
    return "anonymous pages" if in_file(STATUS, SHARED[0]) is not None else "all pages"


def _shared(pages: Pages) -> int:
    """Return the bytes of pages that do not count."""
    return 0 if pages == "all" else sum(in_file(STATUS, field) or 0 for field in SHARED)


def _peak_of_life() -> int:
    """Return the peak bytes since the process started, for systems without /proc."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, others kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def reset_peak(device: str) -> str:
    """Start a new peak; return what the next `peak` covers.

    That is "window", or "process start" if the peak cannot be reset.
    """
    if kind_of(device).has_own_memory:
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        return "window"
    allocator.give_back()
    try:
        CLEAR.write_text("5")  # proc(5): resets the peak resident set size
    except OSError:
        return "process start"
    return "window"


def peak(device: str, memory_before: int, *, pages: Pages = "anonymous") -> int:
    """Return the peak bytes since `reset_peak`, less `memory_before`.

    Pages of files are subtracted as they are at the end: a call that has run before loads no more
    of them, so their number was the same at the peak.
    """
    if kind_of(device).has_own_memory:
        import torch

        return torch.cuda.max_memory_allocated(device)
    if not STATUS.exists():
        return _peak_of_life() - memory_before
    return of_process("VmHWM") - _shared(pages) - memory_before


def pooled(
    pool: tuple[int, int] | None, segments: Iterable[Mapping[str, Any]] | None = None
) -> int:
    """Return the bytes that a CUDA graph reserves for its replays and that are not counted as
    allocated: the unallocated part of its pool.

    `pool` is `CUDAGraph.pool()`, or None for a call without a graph. `segments` defaults to
    `torch.cuda.memory_snapshot()`.
    """
    if pool is None:
        return 0
    if segments is None:
        import torch

        segments = torch.cuda.memory_snapshot()
    reserved = 0
    for segment in segments:
        if tuple(segment["segment_pool_id"]) == tuple(pool):
            reserved += int(segment["total_size"]) - int(segment["allocated_size"])
    return reserved
