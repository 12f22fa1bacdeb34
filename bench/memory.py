"""Peak memory of a call: the device allocator's own count, or on a CPU the growth of this process."""

from __future__ import annotations

import sys
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def _resident(field: str) -> int:
    """Bytes of `VmRSS` (now) or `VmHWM` (peak) of this process."""
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{STATUS} has no {field}")


def before(device: str) -> int:
    """Bytes in use before the model is built."""
    if device.startswith("cuda"):
        return 0  # a worker of its own: whatever its allocator holds later, the model brought
    if not STATUS.exists():
        return _peak_of_life()
    return _resident("VmRSS")


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
    return (_resident("VmHWM") if STATUS.exists() else _peak_of_life()) - memory_before
