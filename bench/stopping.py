"""Ctrl-C and a scheduler's SIGTERM, so that neither is ever lost.

The exception that they raise can be swallowed where Python ignores exceptions: in a destructor, in a callback of the
garbage collector. They are therefore remembered too, and asked for between windows and between arms.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_asked = False


@contextmanager
def listening() -> Iterator[None]:
    """Inside, both signals raise KeyboardInterrupt and are remembered; afterwards they do what they did before, since
    while Python itself ends, nothing is left that could catch an exception."""
    global _asked
    _asked = False
    before = {number: signal.signal(number, _heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: not set by Python


def _heard(number: int, frame: FrameType | None) -> None:
    global _asked
    _asked = True
    raise KeyboardInterrupt


def check() -> None:
    """KeyboardInterrupt where somebody asked for the end."""
    if _asked:
        raise KeyboardInterrupt
