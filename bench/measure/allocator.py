"""How a measured process keeps freed memory; the only module that calls into glibc."""

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
"""Environment variables with which a user configures glibc's allocator (mallopt(3))."""
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of mallopt(3)."""


def described(environment: Mapping[str, str] | None = None) -> dict[str, Scalar]:
    """Return the allocator's settings for the record.

    These are the user's own, else that glibc keeps freed memory, else nothing. A preloaded library
    such as jemalloc is named, because it may replace the allocator.
    """
    environment = os.environ if environment is None else environment
    said: dict[str, Scalar] = {
        name.lower(): environment[name] for name in SAID if name in environment
    }
    ours = platform.libc_ver()[0] == "glibc" and not said
    if loaded := environment.get("LD_PRELOAD"):
        names = sorted(os.path.basename(path) for path in loaded.replace(":", " ").split())
        said["ld_preload"] = preloaded = " ".join(names)
        # jemalloc, tcmalloc and mimalloc replace glibc's allocator.
        ours = ours and "malloc" not in preloaded
    return said | {"freed_memory": "kept"} if ours else said


def keep_freed() -> None:
    """Have glibc keep freed memory for later allocations, if `described` says so.

    By default glibc returns the end of its heap to the system, and every call pays for new pages;
    how many depends on the accidental layout of the heap. On two cores ResNet-50 at batch 4 took
    28,000 to 32,000 page faults per call, a fifth of its time, and ViT-S/16 1,700 to 12,000 from
    run to run.
    """
    if "freed_memory" in described():
        libc = ctypes.CDLL(None)
        libc.mallopt(M_TRIM_THRESHOLD, -1)
        libc.mallopt(M_MMAP_MAX, 0)


def give_back() -> None:
    """Return freed memory to the system once, as no call needs it; does nothing without glibc."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
