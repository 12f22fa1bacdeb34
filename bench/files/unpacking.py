"""Read archives and arrays from strangers, checking size and kind before allocating memory."""

from __future__ import annotations

import io
import math
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from bench.errors import UsageError
from bench.files.foreign_errors import refusing

Refusal = Callable[[str], UsageError]
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The compression methods of this program and NumPy; those of others use unbounded memory."""
ENTRY = b"PK\x01\x02"
"""The mark before each entry of an archive's directory."""
STEP = 1 << 20
"""Bytes to unpack at a time."""
HIGHEST_RATIO, SMALL = 100, 16 << 20
"""An archive bomb unpacks to more than this many times its size, and to more than SMALL bytes.

Records reach a ratio of 10.
"""


def unpacked(
    content: bytes, *, most: int, entries: int, allowed: re.Pattern[str], refuse: Refusal
) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file of a zip archive; raise `refuse(reason)` for a bad one.

    Unpacks at most `most` bytes and reads at most `entries` entries, whatever the archive says
    about itself; unpacks nothing if one of its names is not `allowed`.
    """
    if content.count(ENTRY) > entries:
        raise refuse(f"it contains more than {entries:,} files")
    with refusing(refuse), zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = archive.infolist()
        largest = min(most, max(SMALL, HIGHEST_RATIO * len(content)))
        size = sum(info.file_size for info in infos)
        if size > largest:
            raise refuse(
                f"it unpacks to {size / 1e6:,.0f} MB, more than the {largest / 1e6:,.0f} MB "
                f"allowed for {len(content) / 1e6:,.2f} MB"
            )
        _check_entries(infos, allowed, refuse)
        for info in infos:
            yield info.filename, _entry(archive, info, refuse)


def _check_entries(infos: list[zipfile.ZipInfo], allowed: re.Pattern[str], refuse: Refusal) -> None:
    """Refuse entries that the archive has no reason to contain, by its directory."""
    names: set[str] = set()
    for info in infos:
        name = ascii(info.filename[:80])
        if not allowed.fullmatch(info.filename):
            raise refuse(f"{name} does not belong in it; it is refused unread")
        if info.flag_bits & 0x1:
            raise refuse(f"{name} is encrypted")
        if info.compress_type not in METHODS:
            raise refuse(
                f"{name} is compressed by method {info.compress_type}; "
                "only stored and deflated files are read"
            )
        if info.is_dir() or stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise refuse(f"{name} is a folder, a link or a device, not a file")
        if info.filename in names:
            raise refuse(f"it contains two files with the name {name}")
        names.add(info.filename)


def _entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, refuse: Refusal) -> bytes:
    """Read one file in steps: zipfile at once would unpack everything, whatever size is stated."""
    parts: list[bytes] = []
    left = info.file_size
    with archive.open(info) as file:
        while part := file.read(STEP):
            left -= len(part)
            if left < 0:
                raise refuse(f"{info.filename[:80]!a} is larger than it says")
            parts.append(part)
    if left:
        raise refuse(f"{info.filename[:80]!a} is smaller than it says")
    return b"".join(parts)


def array_of(content: bytes, refuse: Refusal) -> Any:
    """Return the array of a `.npy` file, of numbers or booleans; raise `refuse(reason)` otherwise.

    NumPy would allocate memory for any shape in the header.
    """
    from numpy.lib import format as npy

    with refusing(refuse):
        file = io.BytesIO(content)
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise refuse(f"its format version {version} is not supported")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, kind = read(file)
        if kind.kind not in "biuf" or kind.subdtype is not None:
            raise refuse(f"it contains {kind}; only numbers and booleans are read")
        actual, stated = len(content) - file.tell(), math.prod(shape) * kind.itemsize
        if stated != actual or len(shape) > 4:
            raise refuse(
                f"its header states an array of {'x'.join(map(str, shape))} {kind}, {stated:,} "
                f"bytes, but there are {actual:,}"
            )
        return npy.read_array(io.BytesIO(content), allow_pickle=False)
