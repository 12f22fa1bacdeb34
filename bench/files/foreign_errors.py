"""What libraries raise over bytes that somebody else wrote, as one error of ours.

zlib, zipfile, NumPy, Pillow, safetensors, csv, tomllib, json and msgspec raise some thirty kinds of exceptions between
them, documented and not. Listing them at each call leaves one out; a reader of foreign bytes goes through `refusing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import UsageError, one_line
from bench.files import files


@contextmanager
def refusing(refusal: Callable[[str], UsageError]) -> Iterator[None]:
    """Raise what `refusal` makes of a few words, whatever a library raises within. A UsageError passes as it is.

    For calls into libraries and checks of what they gave: a slip of our own in the block would be blamed on the file.
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
    """The bytes of a file; what `refusal` makes of the reason where it cannot be read or has more than `most`."""
    with refusing(refusal):
        try:
            known = files.regular(path)
        except UsageError as error:
            raise refusal(str(error)) from None
        if known is not None and known.st_size > most:
            raise refusal(
                f"it has {known.st_size / 1e6:,.0f} MB, and {most / 1e6:,.0f} MB are read"
            )
        return files.read(path)


def _in_words(error: BaseException) -> str | None:
    """What went wrong; None for what is no failure of a library, as Ctrl-C."""
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if (
        isinstance(error, Exception) or type(error).__name__ == "PanicException"
    ):  # what Rust's panics become, as safetensors'
        return one_line(error, 160) or type(error).__name__
    return None
