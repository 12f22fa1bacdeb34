"""Errors that a library raises over strangers' bytes become one of ours; other exceptions pass.

Every call that reads them is inside `refusing`, which the source is searched for, and every reader
turns whatever its library raises into one line.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import lzma
import pickle
import re
import struct
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from unittest import mock

import msgspec
import numpy as np
import PIL
import pytest
import safetensors
import torch

from bench.analysis import published_csv
from bench.config import suites
from bench.datasets import _image_cache, _layout, imagenet, webdataset
from bench.errors import UsageError
from bench.exchange import pack
from bench.files.foreign_errors import refusing
from bench.record import arrays, store
from bench.report import written_files
from bench.training import checkpoint, weights
from bench.training.images.splits import Pictures
from bench.visit.journal import Folder

from .pictures import Named

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
        (tarfile.TarInfo("x"),),
        (tarfile.TarInfo("x"), "y"),
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
    raised = made(kind)
    try:
        with refusing(lambda words: UsageError(f"it is no file: {words}")):
            raise raised
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


# Every call

ROOT = Path(__file__).parent.parent
READS = re.compile(
    r"zipfile\.ZipFile|tarfile\.open|json\.loads?|csv\.(reader|DictReader)|Image\.open|np\.load"
    r"|msgspec\.json\.decode|msgspec\.convert|tomllib\.loads?|torch\.load|pickle\.loads?"
    r"|(\w+\.)?safe_open|(\w+\.)?load_file|npy\.(read|open)_\w+|.+\.read_text|_decode_\w+|[A-Z]+\.decode"
)
"""Calls into libraries that read bytes."""
MENTIONS = re.compile(
    "zipfile|tarfile|json|csv|Image|np.load|msgspec|tomllib|load|pickle|safe_open|npy|read_text|decode"
)
OURS = {
    "bench/analysis/published.py": "tables of this package",
    "bench/count/identity.py": "a file of this package",
    "bench/report/citations.py": "a file of this package",
    "bench/report/page/__init__.py": "files of this package and of installed ones",
    "bench/measure/machine.py": "/proc, and this project's own pyproject.toml",
    "bench/measure/cpu_placement.py": "/proc",
    "bench/measure/disturbance.py": "/proc and /sys",
    "bench/measure/memory.py": "/proc",
    "bench/measure/processes.py": "/proc",
    "bench/measure/subject/agreement.py": "a file that another process of the run just wrote",
    "bench/measure/subject/speed.py": "a file that another process of the run just wrote",
    "bench/engines/onnx_runtime.py": "the engine's profile of this process",
    "bench/engines/tensor_rt.py": "the engine's description of itself",
    "bench/visit/queue.py": "the log of this visit, with replacements for what is not text",
    "bench/exchange/pack.py:archived": "writes",
    "bench/ab/process.py:ask": "a line of this project's own server, or of one that was killed",
    "bench/ab/server.py:serve": "lines of this project's own program",
    "bench/datasets/_layout.py:_members": "consumed by _in_archives, inside refusing",
    "bench/record/metric_units.py": "called by the schema while it is decoded, inside refusing",
    "bench/record/store.py:_checked_head": "called by parse, inside refusing",
    "bench/training/loop.py:_restore": "called by resume, inside refusing",
    "bench/training/images/decoding.py": "its callers catch any exception and count the image",
    "bench/training/weights_file.py": "unpickled catches any exception, and asks it for a name",
}
"""Calls that need no wrapper of their own, by file or function, and why."""


def dotted(node: ast.AST) -> str:
    """Return a name such as `np.load`; a call or an index on the way is `()`."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "()"


def unwrapped(node: ast.AST, place: str, inside: bool = False) -> Iterator[str]:
    """Yield the calls into reading libraries outside of `with refusing(...)`."""
    if isinstance(node, ast.FunctionDef):
        place = f"{place.partition(':')[0]}:{node.name}"
    if isinstance(node, ast.With):
        # A call beside `refusing` in one `with` is inside, too.
        inside = inside or any("refusing(" in ast.unparse(one) for one in node.items)
    if isinstance(node, ast.Call) and not inside and READS.fullmatch(dotted(node.func)):
        yield place
    for child in ast.iter_child_nodes(node):
        yield from unwrapped(child, place, inside)


def test_every_call_that_reads_is_wrapped_or_reads_what_is_ours() -> None:
    found: set[str] = set()
    for folder in ("bench", "models", "plots"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            if MENTIONS.search(text):  # parsing all files takes seconds
                found.update(unwrapped(ast.parse(text), path.relative_to(ROOT).as_posix()))
    known = {place for place in found if place in OURS or place.partition(":")[0] in OURS}
    assert found - known == set()
    unused = {one for one in OURS if not any(f"{place}:".startswith(f"{one}:") for place in known)}
    assert unused == set()


# Every reader

Read = Callable[[Path], object]


def labels(path: Path) -> object:
    part = Pictures(Named("val_{}.JPEG"), torch.arange(1, 4), torch.zeros(3))
    return weights.read_real(f"real:{path}", part)


def journal(path: Path) -> object:
    (path.parent / "steps.ndjson").write_bytes(b"{}\n")
    return Folder(path.parent).entries()


def archive_of_arrays() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, loss=np.ones(3))
    return buffer.getvalue()


ARRAYS = archive_of_arrays()


READERS: dict[str, tuple[str, Read]] = {
    "a pack's archive": ("bench.files.unpacking.zipfile.ZipFile", pack.verify),
    "arrays' archive": (
        "bench.files.unpacking.zipfile.ZipFile",
        lambda path: arrays.arrays_in(ARRAYS, UsageError),
    ),
    "a file in it": ("zipfile.ZipExtFile.read", lambda path: arrays.arrays_in(ARRAYS, UsageError)),
    "an array's header": (
        "numpy.lib.format.read_array_header_1_0",
        lambda path: arrays.arrays_in(ARRAYS, UsageError),
    ),
    "an array": ("numpy.lib.format.read_array", lambda path: arrays.arrays_in(ARRAYS, UsageError)),
    "a record": ("bench.record.store._checked_head", store.load),
    "a suite": ("bench.config.suites.tomllib.loads", lambda path: suites.suite_fields(str(path))),
    "a table": ("bench.analysis.published_csv.csv.DictReader", published_csv.parsed),
    "a shard": (
        "bench.datasets.webdataset.tarfile.open",
        lambda path: webdataset.shards([path], "--data"),
    ),
    "an archive of classes": (
        "bench.datasets._layout.tarfile.open",
        lambda path: _layout.list_images(path.with_suffix(".tar"), "--data"),
    ),
    "a checkpoint": ("safetensors.safe_open", checkpoint.load),
    "labels": ("bench.training.weights.json.loads", labels),
    "a journal": ("bench.visit.journal.ENTRIES", journal),
}


@pytest.mark.parametrize("name", READERS)
def test_whatever_a_library_raises_a_reader_refuses_in_one_line(name: str, tmp_path: Path) -> None:
    target, read = READERS[name]
    path = tmp_path / "file.toml"
    path.write_bytes(b"x\n")
    path.with_suffix(".tar").write_bytes(b"x")
    for kind in sorted(set(raised()), key=str):
        error = made(kind)
        stub = mock.Mock(side_effect=error, decode=mock.Mock(side_effect=error))
        with mock.patch(target, stub), pytest.raises(UsageError) as caught:
            read(path)
        assert stub.called or stub.decode.called, kind
        assert len(str(caught.value).splitlines()) == 1, kind


@pytest.mark.parametrize(
    ("target", "read"),
    [
        ("numpy.lib.format.open_memmap", lambda path: _image_cache._read(path, 3, 8)),
        ("msgspec.json.decode", lambda path: written_files._read(path.parent)),
    ],
)
def test_a_cache_or_list_that_cannot_be_read_is_made_anew(
    target: str, read: Read, tmp_path: Path
) -> None:
    (tmp_path / "x.json").write_bytes(b'{"unreadable":[],"digest":"0"}')
    (tmp_path / "report-files.json").write_bytes(b'{"files":{}}')
    for kind in sorted(set(raised()), key=str):
        with mock.patch(target, side_effect=made(kind)) as stub:
            assert read(tmp_path / "x") is None
        assert stub.called


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("classes.txt", lambda path: imagenet.by_mapping(["a"], path)),
        ("val_annotations.txt", lambda path: _layout.list_images(path.parent, "--data")),
        ("table.csv", published_csv.parsed),
    ],
)
def test_a_list_that_is_not_text_is_one_line(name: str, read: Read, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"x")
    (tmp_path / name).write_bytes(b"a.jpg\tone\nb\xff.jpg\ttwo\n")
    with pytest.raises(UsageError, match=rf"{name} .*byte 12 is not text in UTF-8") as caught:
        read(tmp_path / name)
    assert len(str(caught.value).splitlines()) == 1


def test_a_cache_of_images_that_is_an_archive_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b'{"unreadable":[],"digest":"0"}')
    with (tmp_path / "x.npy").open("wb") as file:
        np.savez(file, images=np.zeros((3, 3, 8, 8), dtype=np.uint8))
    assert _image_cache._read(tmp_path / "x", 3, 8) is None
    (tmp_path / "x.npy").write_bytes(b"PK\x03\x04" + b"x" * 100)
    assert _image_cache._read(tmp_path / "x", 3, 8) is None
