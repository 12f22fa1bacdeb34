"""Handling of Ctrl-C, a scheduler's SIGTERM and the SIGHUP of a closed terminal.

None of these signals may be lost, and none may interrupt the clean-up itself. Each raises
KeyboardInterrupt. Python can swallow that exception, in a destructor or a callback of the garbage
collector. The signal is therefore also remembered, checked between windows and between arms, and
raised again when Python reports that it ignored one.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN = 0.1
"""Seconds until a KeyboardInterrupt that Python ignored is raised again."""

_asked = False
_told = False
_is_deaf = False


@contextmanager
def listening() -> Iterator[None]:
    """Raise KeyboardInterrupt on the signals and remember them; restore the handlers afterwards."""
    global _asked, _told
    hook, before = sys.unraisablehook, {number: signal.getsignal(number) for number in SIGNALS}
    if _heard not in before.values():
        _asked = _told = False
    listen()
    try:
        yield
    finally:
        sys.unraisablehook = hook
        _restore(before)


def _restore(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler or signal.SIG_DFL)  # None: not set by Python


def listen() -> None:
    """Raise KeyboardInterrupt on the signals from now on.

    A signal that the caller ignores (`nohup`, a shell's `&`) stays ignored.
    """
    global _is_deaf
    _is_deaf = False
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _heard)
    sys.unraisablehook = _again(sys.unraisablehook)


@contextmanager
def kept() -> Iterator[None]:
    """Restore the signal handlers that a library changes inside."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        _restore(before)


def deaf() -> None:
    """Ignore the signals from now on, because the program is ending and nothing is left that could
    catch the exception."""
    global _is_deaf
    _is_deaf = True  # at once: a signal may arrive between the calls below
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def deaf_children() -> Iterator[None]:
    """Hide Ctrl-C from programs started inside, because this process decides when they end.

    A terminal sends Ctrl-C to all of its programs. The signal is blocked and not ignored: programs
    inherit either, but a blocked signal still reaches this process afterwards.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def asked() -> bool:
    """True if a signal has arrived."""
    return _asked


def told() -> bool:
    """True if the user was told of the interruption before this call, which is the telling."""
    global _told
    before, _told = _told, True
    return before


def check() -> None:
    """Raise KeyboardInterrupt if a signal has arrived."""
    if _asked:
        raise KeyboardInterrupt


def _heard(number: int, frame: FrameType | None) -> None:
    global _asked
    _asked = True
    if not (_is_deaf or _ending()):
        raise KeyboardInterrupt


def _ending() -> bool:
    """True while handling a KeyboardInterrupt; a second one would leave files and workers open."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _again(hook: Callable[[Any], object]) -> Callable[[Any], object]:
    """Return a hook for exceptions that Python ignores.

    It raises an ignored KeyboardInterrupt again, and passes all other exceptions to `hook`.
    """

    def ignored(what: Any) -> None:
        if not (_asked and isinstance(what.exc_value, KeyboardInterrupt)):
            hook(what)
            return
        timer = threading.Timer(
            AGAIN, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT]
        )
        timer.daemon = True
        timer.start()

    return ignored
