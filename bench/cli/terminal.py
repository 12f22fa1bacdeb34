"""Standard output and standard error as they come: closed, a pipe that nobody reads, a terminal with few characters."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import sys
from typing import IO

from bench.errors import visible

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
"""How characters of ours are written where the terminal has none of them. A footnote's mark must not read as a digit."""
PIPE_CLOSED = 141
"""Exit code of a program that ends because nobody reads its output, as shells show it (128 + SIGPIPE)."""
GONE = (errno.EPIPE, errno.EIO, errno.EBADF)
"""Nobody reads any more: the reader has ended, the terminal was closed."""


def prepare() -> None:
    """Make both streams take every character, and stand for those that the caller had closed."""
    codecs.register_error("spelled", _spell)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # `>&-`
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - as long as the process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="spelled")


def say(text: str) -> None:
    """One line on standard output, whatever is in it."""
    print(visible(text))


def complain(what: object) -> None:
    """One line on standard error, whatever is in it."""
    print(f"bench: {visible(' '.join(str(what).split()))}", file=sys.stderr)


def flush() -> OSError | None:
    """Write what is still held back; returns the error of standard output, where it takes nothing any more.

    Python itself flushes once more at the very end, and would complain: what fails here is let go.
    """
    found = None
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            found = error if stream is sys.stdout else found
            _drop(stream)
        except ValueError:
            continue  # closed already
    return found


def lost(error: OSError) -> int:
    """What to say, and the exit code, where standard output takes nothing any more: nothing where nobody reads it."""
    if error.errno in GONE:
        return PIPE_CLOSED
    with contextlib.suppress(OSError):
        print(
            f"bench: standard output: {error.strerror}; what was written into files is kept",
            file=sys.stderr,
        )
    return 2


def interrupted() -> int:
    """Say that somebody asked for the end; returns the exit code."""
    with contextlib.suppress(OSError):
        print("bench: interrupted", file=sys.stderr)
    return 130


def _drop(stream: IO[str]) -> None:
    """From now on, let what is written to a stream go nowhere."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _spell(error: UnicodeError) -> tuple[str, int]:
    """A codec's error handler."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    return "".join(
        SPELLED.get(one) or one.encode("ascii", "backslashreplace").decode() for one in found
    ), error.end
