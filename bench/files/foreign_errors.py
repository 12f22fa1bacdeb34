"""Turn the exceptions of libraries about foreign files into one error of ours.

zlib, zipfile, NumPy, Pillow, safetensors, csv, tomllib, json and msgspec together raise some thirty
types of exceptions, documented and not. A list at each call would miss one, so readers of foreign
files use `refusing`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import UsageError, one_line
from bench.files import files

OF_THE_SYSTEM = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EIO)
"""Errors of a read that say nothing about the file: limits of this process, memory, the disk."""


def raise_if_of_the_system(error: BaseException) -> None:
    """Raise an error of the system again.

    A file that could not be read for such a reason must not count as damaged: the next attempt may
    read it.
    """
    if isinstance(error, OSError) and error.errno in OF_THE_SYSTEM:
        raise error


@contextmanager
def refusing(refusal: Callable[[str], UsageError]) -> Iterator[None]:
    """Raise `refusal(reason)` for any exception of a library inside; a UsageError passes unchanged.

    Use it only around calls into libraries and checks of their results: it would blame the file for
    a mistake of ours.
    """
    try:
        yield
    except UsageError:
        raise
    except BaseException as error:
        if (words := _in_words(error)) is None:
            raise
        raise refusal(words) from None


def content_of(path: Path, most: int, refusal: Callable[[str], UsageError]) -> bytes:
    """Return the content of a file; raise `refusal(reason)` if it is unreadable or too large.

    `most` is the largest size in bytes.
    """
    with refusing(refusal):
        try:
            status = files.regular(path)
        except UsageError as error:
            raise refusal(str(error)) from None
        if status is not None and status.st_size > most:
            raise refusal(f"it has {_size(status.st_size)}, more than the {_size(most)} allowed")
        return files.read(path)


def _size(number: int) -> str:
    return f"{number / 1e6:,.0f} MB" if number >= 10**7 else f"{number / 1e3:,.0f} kB"


def text_of(path: Path, most: int, refusal: Callable[[str], UsageError]) -> str:
    """Return the content of a text file in UTF-8; raise `refusal(reason)` as `content_of` does."""
    content = content_of(path, most, refusal)
    with refusing(refusal):
        return content.decode("utf-8-sig")


def _in_words(error: BaseException) -> str | None:
    """Say what went wrong; None if it is not an error of a library, such as Ctrl-C."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return None  # not the file's fault: every other file would be refused as well
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start + 1} is not text in {error.encoding.upper()}"
    # Panics in Rust, as in safetensors, become a PanicException, which is not an Exception.
    if isinstance(error, Exception) or type(error).__name__ == "PanicException":
        return one_line(error, 160) or type(error).__name__
    return None
