"""Let the first call of one of the program's functions raise MemoryError."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType

from tests.program import ROOT

OURS = str(ROOT / "bench")


def _name(code: CodeType) -> str:
    return f"{code.co_filename.removeprefix(OURS)}:{code.co_firstlineno}:{code.co_name}"


def note(path: Path) -> None:
    """Write the names of the functions that this process calls from now on, in their order."""
    seen: set[CodeType] = set()

    def called(code: CodeType) -> None:
        if code not in seen:
            seen.add(code)
            with path.open("a") as file:
                file.write(f"{_name(code)}\n")

    _at_calls(called)


def refuse(name: str) -> None:
    """Raise MemoryError at the first call of the function of this name."""
    done = False

    def called(code: CodeType) -> None:
        nonlocal done
        if not done and _name(code) == name:
            done = True
            sys.setprofile(None)
            raise MemoryError

    _at_calls(called)


def _at_calls(called: Callable[[CodeType], None]) -> None:
    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(OURS):
            called(frame.f_code)

    sys.setprofile(profile)
