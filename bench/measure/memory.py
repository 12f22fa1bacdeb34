"""Peak memory of a call: the device allocator's own count, or on a CPU the growth of this process.

On a CPU only anonymous pages are the call's: what is read from files is code of libraries, 31 to 34 MB that the first use of an
operator brings in, whatever the model. Trainings still count all pages, as their records always did.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from bench.measure import allocator

SHARED = ("RssFile", "RssShmem")
"""Pages of files and of memory that several processes share (proc(5)); the rest are anonymous."""
Pages = Literal["anonymous", "all"]
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def in_file(path: Path, field: str) -> int | None:
    """Bytes of the line `field: N kB` of a file in /proc; None where there is no such file or line."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next(
        (int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), None
    )


def of_process(field: str) -> int:
    """Bytes of `VmRSS` (now), `VmHWM` (peak) or `VmData` (private and writable) of this process."""
    found = in_file(STATUS, field)
    if found is None:
        raise OSError(f"{STATUS} has no {field}")
    return found


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory, of the system or of a device, did not suffice."""
    text = str(error).lower()
    return (
        isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text
    )


def before(device: str, *, pages: Pages = "anonymous") -> int:
    """Bytes in use before the model is built. `pages`: "anonymous", or "all"."""
    if device.startswith("cuda"):
        return 0  # a worker of its own: whatever its allocator holds later, the model brought
    if not STATUS.exists():
        return _peak_of_life()
    allocator.give_back()
    return of_process("VmRSS") - _shared(pages)


def counted(device: str) -> str:
    """What `peak` counts, for the record: "allocated" on a GPU, else "anonymous pages", or "all pages" where /proc tells no more."""
    if device.startswith("cuda"):
        return "allocated"
    return "anonymous pages" if in_file(STATUS, SHARED[0]) is not None else "all pages"


def _shared(pages: Pages) -> int:
    """Bytes of pages that are not counted."""
    return 0 if pages == "all" else sum(in_file(STATUS, field) or 0 for field in SHARED)


def _peak_of_life() -> int:
    """Peak bytes since the process started, where /proc does not tell; macOS counts bytes, others kilobytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def reset_peak(device: str) -> str:
    """Start a new peak; returns since when the next `peak` counts: "window", or "process start" where it cannot."""
    if device.startswith("cuda"):
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
    """Peak bytes since `reset_peak`, over `memory_before`.

    What files hold at the end is taken off: a call that ran before brings no more of them in, so it is what they held at the peak.
    """
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device)
    return (
        of_process("VmHWM") - _shared(pages) if STATUS.exists() else _peak_of_life()
    ) - memory_before


def pooled(
    pool: tuple[int, int] | None, segments: Iterable[Mapping[str, Any]] | None = None
) -> int:
    """Bytes that a CUDA graph keeps for its replays and that do not count as allocated: of its own pool, what nobody holds.

    `pool` is `CUDAGraph.pool()`, None for a call that is no graph; `segments` is what `torch.cuda.memory_snapshot()` says.
    """
    if pool is None:
        return 0
    if segments is None:
        import torch

        segments = torch.cuda.memory_snapshot()
    mine = [one for one in segments if tuple(one["segment_pool_id"]) == tuple(pool)]
    return sum(int(one["total_size"]) - int(one["allocated_size"]) for one in mine)
