"""How a measured process keeps memory that it has freed: the one place that speaks to glibc."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Mapping

from bench.record.schema import Scalar

SAID = (
    "GLIBC_TUNABLES",
    "MALLOC_MMAP_MAX_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_TOP_PAD_",
)
"""With these a user says how glibc keeps memory (mallopt(3))."""
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of mallopt(3)."""


def described(environment: Mapping[str, str] | None = None) -> dict[str, Scalar]:
    """What holds, for the record: what the user said, else that glibc keeps what is freed, else nothing.

    A library that is loaded before all others, such as jemalloc, is named: it may bring an allocator of its own.
    """
    environment = os.environ if environment is None else environment
    said: dict[str, Scalar] = {
        name.lower(): environment[name] for name in SAID if name in environment
    }
    ours = platform.libc_ver()[0] == "glibc" and not said
    if loaded := environment.get("LD_PRELOAD"):
        names = sorted(os.path.basename(path) for path in loaded.replace(":", " ").split())
        said["ld_preload"] = " ".join(names)
        ours = ours and not any(
            "malloc" in name for name in names
        )  # jemalloc, tcmalloc, mimalloc: theirs is what holds
    return said | {"freed_memory": "kept"} if ours else said


def keep_freed() -> None:
    """Have glibc keep what is freed for what comes next, where that is what `described` says.

    By default it gives the end of its heap back to the system, and every call pays for fresh pages again: how many is an
    accident of what lies where. ResNet-50 at batch 4 took 28,000 to 32,000 of them a call on two cores, a fifth of its
    time, ViT-S/16 1,700 to 12,000 from run to run.
    """
    if "freed_memory" in described():
        libc = ctypes.CDLL(None)
        libc.mallopt(M_TRIM_THRESHOLD, -1)
        libc.mallopt(M_MMAP_MAX, 0)


def give_back() -> None:
    """Return what is kept to the system, once: it is no part of what a call needs. Nothing happens without glibc."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
