"""Ctrl-C, a scheduler's SIGTERM and the SIGHUP of a closed terminal, so that none of them is lost and none breaks off the
ending itself.

Each raises KeyboardInterrupt. That exception can be swallowed where Python ignores exceptions: in a destructor, in a
callback of the garbage collector. The signal is therefore remembered too, asked for between windows and between arms, and
raised once more where Python says that it ignored one.
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
"""Seconds after which a KeyboardInterrupt that Python ignored is raised again."""

_asked = False


@contextmanager
def listening() -> Iterator[None]:
    """Inside, the signals raise KeyboardInterrupt and are remembered; afterwards they do what they did before."""
    global _asked
    hook, before = sys.unraisablehook, {number: signal.getsignal(number) for number in SIGNALS}
    if _heard not in before.values():
        _asked = False
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
    """From now on the signals raise KeyboardInterrupt. One that the caller had ignored (`nohup`, a shell's `&`) stays so."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _heard)
    sys.unraisablehook = _again(sys.unraisablehook)


@contextmanager
def kept() -> Iterator[None]:
    """What a library makes of the signals inside does not last."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        _restore(before)


def deaf() -> None:
    """From now on the signals do nothing: the program ends anyhow, and nothing is left that could catch an exception."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def deaf_children() -> Iterator[None]:
    """Programs started inside never hear Ctrl-C, which a terminal sends to all of them: this process decides what ends.

    Blocked instead of ignored: a program inherits either, and this process gets what came meanwhile.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def asked() -> bool:
    """True if somebody asked for the end."""
    return _asked


def check() -> None:
    """KeyboardInterrupt where somebody asked for the end."""
    if _asked:
        raise KeyboardInterrupt


def _heard(number: int, frame: FrameType | None) -> None:
    global _asked
    _asked = True
    if not _ending():
        raise KeyboardInterrupt


def _ending() -> bool:
    """True if a KeyboardInterrupt is being handled: a second one would leave files and workers open."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _again(hook: Callable[[Any], object]) -> Callable[[Any], object]:
    """A hook for exceptions that Python ignores: another KeyboardInterrupt follows one of them, the others go to `hook`."""

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
