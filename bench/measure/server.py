"""Imported by the server that forks processes, before anything else: it leaves errors unprinted.

The server prints a traceback if the system refuses it a call, or if the program stops in the middle
of a request. The program itself meets the same failure, and reports it in one line.
"""

from __future__ import annotations

import pickle
import sys
from types import TracebackType

REPORTED = (OSError, EOFError, MemoryError, pickle.UnpicklingError)
"""Errors of the server, and of its processes before they begin, that the program reports."""


def _print(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, REPORTED):
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _print
