"""The library between a command and the system, in which one call can be made to fail.

It is C, so that calls of libraries (safetensors, NumPy, multiprocessing) are met as Python's are.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")
LOADED = "LD_PRELOAD"
ROLES = ("command", "its children", "their children")
LOGGED = 16384
LENGTH = 112
SHORT, KILLED = -1, -2


class Control(ctypes.Structure):
    """What the command's processes and the one that watches them share; `shim.c` has the same."""

    _fields_ = (
        ("armed", ctypes.c_int),
        ("role", ctypes.c_int),
        ("kind", ctypes.c_int),
        ("fired", ctypes.c_int),
        ("at", ctypes.c_long),
        ("counts", ctypes.c_long * len(ROLES)),
        ("root", ctypes.c_char * 256),
        ("what", ctypes.c_char * LENGTH),
        ("log", ((ctypes.c_char * LENGTH) * LOGGED) * len(ROLES)),
    )


@dataclass(frozen=True)
class Fault:
    """The call number `at` of a role fails: with an error number, SHORT or KILLED."""

    role: int
    at: int
    kind: int


def can_be_built() -> bool:
    """True on Linux with a C compiler."""
    return sys.platform == "linux" and shutil.which("cc") is not None


def build(folder: Path) -> Path:
    """Compile the library into a folder."""
    target = folder / "shim.so"
    command = ["cc", "-O2", "-shared", "-fPIC", str(SOURCE), "-o", str(target), "-ldl", "-lpthread"]
    subprocess.run(command, check=True)
    return target


def is_loaded() -> bool:
    """True if this process was started with the library."""
    return "shim.so" in os.environ.get(LOADED, "")


class Shim:
    """The library of this process, and what it shares with the commands that are forked."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        size = ctypes.sizeof(Control)
        library.fault_size.restype = ctypes.c_long
        assert library.fault_size() == size
        self._memory = mmap.mmap(-1, size)
        self.control = Control.from_buffer(self._memory)
        self._begin: Callable[[object], object] = library.fault_begin

    def prepare(self, root: Path, fault: Fault | None) -> None:
        """Forget the last command; the next one works below `root`."""
        ctypes.memset(ctypes.addressof(self.control), 0, Control.log.offset)
        self.control.root = os.fsencode(root)
        if fault is not None:
            self.control.role, self.control.at, self.control.kind = fault.role, fault.at, fault.kind

    def begin(self) -> None:
        """Count the calls of this process, and of those it forks, from now on."""
        self._begin(ctypes.byref(self.control))

    def end(self) -> None:
        """Count no more, in any process."""
        self.control.armed = 0

    def calls(self) -> list[list[str]]:
        """The calls of each role, such as `+write` or `open /t/x`; a + marks those that write."""
        found = []
        for role, log in enumerate(self.control.log):
            number = min(self.control.counts[role], LOGGED)
            found.append([log[at].value.decode(errors="replace").strip() for at in range(number)])
        return found

    @property
    def fired(self) -> bool:
        """True if the call that was to fail has failed."""
        return bool(self.control.fired == 1)

    @property
    def what(self) -> str:
        """The call that failed."""
        return bytes(self.control.what).decode(errors="replace").strip()
