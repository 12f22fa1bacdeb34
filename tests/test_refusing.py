"""Errors that a library raises over strangers' bytes become one of ours; other exceptions pass."""

from __future__ import annotations

import csv
import json
import lzma
import pickle
import re
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

from bench.config import suites
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
    for library in [*LIBRARIES, suites.tomllib]:
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


def told(kind: type[BaseException]) -> BaseException:
    """What a library's exception becomes."""
    try:
        with refusing(lambda words: UsageError(f"it is no file: {words}")):
            raise made(kind)
    except BaseException as error:
        return error


def test_every_exception_of_every_library() -> None:
    every = {kind: told(kind) for kind in set(raised())}
    assert len(every) > 50
    passed = [kind for kind, error in every.items() if not isinstance(error, UsageError)]
    assert passed == []
    for kind, error in every.items():
        assert re.match(r"it is no file: .+", str(error)), kind
        assert len(str(error).splitlines()) == 1, kind
        assert error.__suppress_context__, kind


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
