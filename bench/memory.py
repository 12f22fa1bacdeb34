"""Peak memory of a call: the device allocator's own count, or on a CPU the growth of this process."""

from __future__ import annotations

import sys
from pathlib import Path

from bench import allocator

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def in_file(path: Path, field: str) -> int | None:
    """Bytes of the line `field: N kB` of a file in /proc; None where there is no such file or line."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), None)


def of_process(field: str) -> int:
    """Bytes of `VmRSS` (now), `VmHWM` (peak) or `VmData` (private and writable) of this process."""
    found = in_file(STATUS, field)
    if found is None:
        raise OSError(f"{STATUS} has no {field}")
    return found


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory, of the system or of a device, did not suffice."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def before(device: str) -> int:
    """Bytes in use before the model is built."""
    if device.startswith("cuda"):
        return 0  # a worker of its own: whatever its allocator holds later, the model brought
    if not STATUS.exists():
        return _peak_of_life()
    allocator.give_back()
    return of_process("VmRSS")


def _peak_of_life() -> int:
    """Peak bytes since the process started, where /proc does not tell; macOS counts bytes, others kilobytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


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


def peak(device: str, memory_before: int) -> int:
    """Peak bytes since `reset_peak`, over `memory_before`."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device)
    return (of_process("VmHWM") if STATUS.exists() else _peak_of_life()) - memory_before
