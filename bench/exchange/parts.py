"""Pack a results folder into several files, each small enough to be sent."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from bench.exchange.pack import LARGEST, MOST_FILES, values, write_pack
from bench.exchange.pieces import pieces_of
from bench.files import limits
from bench.record.store import DamagedRecord

ENTRY_BYTES = 500
"""Most bytes that a file takes in the directory and in the manifest of a pack."""


@dataclass
class Part:
    """The files of one pack, and upper bounds on its size."""

    contents: dict[str, bytes] = field(default_factory=dict)
    size: int = 0
    """Bytes of the pack."""
    unpacked: int = 0
    """Bytes of its files."""
    values: int = 0
    """Values in its records."""

    def add(self, other: Part) -> None:
        """Add the files of another part."""
        self.contents |= other.contents
        self.size += other.size
        self.unpacked += other.unpacked
        self.values += other.values

    def has_room(self, other: Part, largest: int) -> bool:
        """True if `verify` reads both as one pack, of at most `largest` bytes."""
        return (
            self.size + other.size <= largest
            and self.unpacked + other.unpacked <= LARGEST
            and self.values + other.values <= limits.VALUES
            and len(self.contents) + len(other.contents) <= MOST_FILES
        )


def _part(contents: dict[str, bytes]) -> Part:
    files = contents.values()
    return Part(contents, sum(map(_size, files)), sum(map(len, files)), values(contents))


def _size(content: bytes) -> int:
    """Return the most bytes that a file takes in a pack."""
    return len(zlib.compress(content)) + ENTRY_BYTES


@dataclass(frozen=True)
class Packed:
    """The packs that were written, and what they leave out."""

    paths: list[Path]
    files: int
    """Number of files in all packs."""
    left_out: list[str]
    """Names of files that would have needed more packs."""
    damaged: list[DamagedRecord]


def pack_in_parts(
    results: Path, target: Path, more: dict[str, bytes], *, largest: int, most: int
) -> Packed:
    """Write all records below `results`, and `more` files by name, into packs of `largest` bytes.

    The first one is `target`, the next NAME.2.zip and so on, up to `most`. Each can be verified and
    unpacked by itself. A record and its arrays stay together.

    Raises UsageError if there are no records.
    """
    pieces, damaged = pieces_of(results)
    # A record without a run belongs to a process that was killed at once.
    groups = [piece.contents for piece in pieces if piece.record.runs]
    groups += [{name: content} for name, content in more.items()]
    parts = [Part()]
    left_out: list[str] = []
    for group in map(_part, groups):
        if not _place(group, parts, largest, most):
            left_out += group.contents
    paths: list[Path] = []
    for number, part in enumerate(parts, start=1):
        paths.append(_path(target, number))
        write_pack(paths[-1], part.contents)
    files = sum(map(len, map(attrgetter("contents"), parts)))
    return Packed(paths, files, left_out, damaged)


def _place(group: Part, parts: list[Part], largest: int, most: int) -> bool:
    """Add files to the last part or to a new one; return False if there is no room for them."""
    if not parts[-1].has_room(group, largest):
        if len(parts) == most or not Part().has_room(group, largest):
            return False
        parts.append(Part())
    parts[-1].add(group)
    return True


def _path(target: Path, number: int) -> Path:
    return target if number == 1 else target.with_name(f"{target.stem}.{number}{target.suffix}")
