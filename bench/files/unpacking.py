"""Archives and arrays of strangers: how large and of what kind they are is looked at before memory is taken for them."""

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
"""How this program and NumPy compress; the others' memory cannot be bounded."""
ENTRY = b"PK\x01\x02"
"""What an archive's list has before each of its entries."""
STEP = 1 << 20
HIGHEST_RATIO, SMALL = 100, 16 << 20
"""What unpacks to more than so many times its size, and to more than so many bytes, is an archive bomb. Records come to 10."""


def unpacked(
    content: bytes, *, most: int, entries: int, allowed: re.Pattern[str], refuse: Refusal
) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file of a zip archive, one after the other; what `refuse` makes of the reason otherwise.

    No more than `most` bytes are unpacked and no more than `entries` looked at, whatever the archive says of itself; none
    of either where one of its names is not `allowed`.
    """
    if content.count(ENTRY) > entries:
        raise refuse(f"it holds more than {entries:,} files")
    with refusing(refuse), zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = archive.infolist()
        _look(
            infos,
            allowed,
            min(most, max(SMALL, HIGHEST_RATIO * len(content))),
            len(content),
            refuse,
        )
        for info in infos:
            yield info.filename, _entry(archive, info, refuse)


def _look(
    infos: list[zipfile.ZipInfo], allowed: re.Pattern[str], most: int, packed: int, refuse: Refusal
) -> None:
    """Refuse what an archive has no reason to hold, by what its list says."""
    if (size := sum(info.file_size for info in infos)) > most:
        raise refuse(
            f"it unpacks to {size / 1e6:,.0f} MB, and {most / 1e6:,.0f} MB is the most for its {packed / 1e6:,.2f} MB"
        )
    names: set[str] = set()
    for info in infos:
        name = ascii(info.filename[:80])
        if not allowed.fullmatch(info.filename):
            raise refuse(f"{name} has no place in it; it is refused unread")
        if info.flag_bits & 0x1:
            raise refuse(f"{name} is encrypted")
        if info.compress_type not in METHODS:
            raise refuse(
                f"{name} is compressed by method {info.compress_type}; stored and deflated files are read"
            )
        if info.is_dir() or stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise refuse(f"{name} is a folder, a link or a device, not a file")
        if info.filename in names:
            raise refuse(f"it has two files of one name, {name}")
        names.add(info.filename)


def _entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, refuse: Refusal) -> bytes:
    """One file, read step by step: at once zipfile would unpack all there is before it looks at the size that was said."""
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
    """The array of a `.npy` file, of numbers or booleans; what `refuse` makes of the reason otherwise.

    NumPy would take memory for whatever shape the header names.
    """
    from numpy.lib import format as npy

    with refusing(refuse):
        file = io.BytesIO(content)
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise refuse(f"its format {version} is not read here")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, kind = read(file)
        if kind.kind not in "biuf" or kind.subdtype is not None:
            raise refuse(f"it holds {kind}, and numbers or booleans are read")
        there, said = len(content) - file.tell(), math.prod(shape) * kind.itemsize
        if said != there or len(shape) > 4:
            raise refuse(
                f"its header names an array of {'x'.join(map(str, shape))} {kind}, {said:,} bytes, and {there:,} are there"
            )
        return npy.read_array(io.BytesIO(content), allow_pickle=False)
