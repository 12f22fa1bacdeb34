"""Errors that a library raises over strangers' bytes become one of ours; other exceptions pass."""

from __future__ import annotations

import csv
import json
import lzma
import pickle
import struct
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from types import ModuleType

import msgspec
import numpy as np
import PIL
import pytest
import safetensors

from bench import config
from bench.errors import UsageError
from bench.files.foreign_errors import refusing

LIBRARIES: list[ModuleType] = [
    csv,
    json,
    lzma,
    pickle,
    struct,
    tarfile,
    tokenize,
    zipfile,
    zlib,
    msgspec,
    np.exceptions,
    PIL,
    safetensors,
]
BUILT_IN = [
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    AssertionError,
    RuntimeError,
    NotImplementedError,
    EOFError,
]
BUILT_IN += [
    UnicodeError,
    RecursionError,
    MemoryError,
    OSError,
    AttributeError,
    BufferError,
    SyntaxError,
    SystemError,
    ArithmeticError,
]


def raised() -> Iterator[type[BaseException]]:
    """Every exception that these libraries have, and the built-in ones that they let out."""
    yield from BUILT_IN
    for library in [*LIBRARIES, config.tomllib]:
        for name in dir(library):
            found = getattr(library, name)
            if (
                isinstance(found, type)
                and issubclass(found, Exception)
                and not issubclass(found, Warning)
            ):
                yield found


def made(kind: type[BaseException]) -> BaseException:
    """An exception of a kind, whatever it wants to know."""
    for arguments in (
        ("what it\nsays",),
        ("says", "a\nb", 1),
        ("utf-8", b"x", 0, 1, "what it\nsays"),
        (1, 2),
    ):
        try:
            error = kind(*arguments)
            str(error)
        except Exception:
            continue
        return error
    raise AssertionError(kind)


@pytest.mark.parametrize(
    "kind",
    sorted(set(raised()), key=str),
    ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}",
)
def test_every_exception_of_every_library(kind: type[BaseException]) -> None:
    with (
        pytest.raises(UsageError, match=r"it is no file: .+") as caught,
        refusing(lambda words: UsageError(f"it is no file: {words}")),
    ):
        raise made(kind)
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_failure_of_a_library_passes(kind: type[BaseException]) -> None:
    with pytest.raises(kind), refusing(UsageError):
        raise kind


def test_an_error_of_ours_keeps_its_words() -> None:
    with (
        pytest.raises(UsageError, match=r"^ours$"),
        refusing(lambda words: UsageError(f"theirs {words}")),
    ):
        raise UsageError("ours")
