"""Ctrl-C and a scheduler's SIGTERM, so that neither is ever lost.

The exception that they raise can be swallowed where Python ignores exceptions: in a destructor, in a callback of the
garbage collector. They are therefore remembered too, and asked for between windows and between arms.
"""

from __future__ import annotations

import signal
from types import FrameType

_asked = False


def listen() -> None:
    """From now on both signals raise KeyboardInterrupt and are remembered."""
    global _asked
    _asked = False
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _heard)


def _heard(number: int, frame: FrameType | None) -> None:
    global _asked
    _asked = True
    raise KeyboardInterrupt


def check() -> None:
    """KeyboardInterrupt where somebody asked for the end."""
    if _asked:
        raise KeyboardInterrupt
