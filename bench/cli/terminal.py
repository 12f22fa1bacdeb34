"""Standard output and standard error as they are found: closed, a broken pipe, few characters."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import sys
from typing import IO

from bench.errors import visible
from bench.measure import interrupts

SPELLED = {
    "×": "x",
    "±": "+-",
    "·": "-",
    "…": "...",
    "≈": "~",
    "≤": "<=",
    "≥": ">=",
    "−": "-",
    "–": "-",
    "—": "--",
    "→": "->",
    "↑": "(up)",
    "↓": "(down)",
    "µ": "u",
    "†": "+",
    "¹": "[1]",
    "²": "[2]",
    "³": "[3]",
}
"""Replacements for characters that the terminal's encoding lacks. A footnote mark must not read as
a digit."""
PIPE_CLOSED = 141
"""Exit code if nobody reads standard output any more, as shells show it (128 + SIGPIPE)."""
GONE = (errno.EPIPE, errno.EIO, errno.EBADF)
"""Errors of a stream that has lost its reader: the reader ended, the terminal was closed."""


def prepare() -> None:
    """Make both streams accept every character, and replace those that the caller had closed."""
    codecs.register_error("spelled", _spell)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # `>&-`
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - until exit
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="spelled")


def say(text: str, stream: IO[str] | None = None) -> None:
    """Print plain text, on standard output unless given, with control characters made visible.

    All text is printed by this function or by `console.Terminal`, and neither parses markup.
    """
    print(visible(text), file=stream or sys.stdout)


def complain(what: object) -> None:
    """Print one line on standard error."""
    say(f"bench: {' '.join(str(what).split())}", sys.stderr)


def flush() -> OSError | None:
    """Flush both streams; return the error of standard output if it can no longer be written to.

    A stream that fails is redirected to nowhere, since Python flushes once more on exit and would
    print a traceback.
    """
    lost = None
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            if stream is sys.stdout:
                lost = error
            _redirect_to_nowhere(stream)
        except ValueError:
            continue  # closed already
    return lost


def lost(error: OSError) -> int:
    """Report that standard output cannot be written to, unless its reader is gone.

    Returns the exit code.
    """
    if error.errno in GONE:
        return PIPE_CLOSED
    with contextlib.suppress(OSError):
        complain(f"standard output: {error.strerror}; what was written into files is kept")
    return 2


def interrupted() -> int:
    """Report that the command was interrupted, unless that was done; returns the exit code."""
    if interrupts.told():
        return 130
    with contextlib.suppress(OSError):
        complain("interrupted")
    return 130


def _redirect_to_nowhere(stream: IO[str]) -> None:
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _spell(error: UnicodeError) -> tuple[str, int]:
    """Handle the encoding error of a codec with the replacements of `SPELLED`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    unencodable = error.object[error.start : error.end]
    return "".join(map(_spelled, unencodable)), error.end


def _spelled(character: str) -> str:
    escaped = character.encode("ascii", "backslashreplace").decode()
    return SPELLED.get(character, escaped)
