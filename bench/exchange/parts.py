"""A results folder as several packs, each small enough to be sent."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path

from bench.exchange.pack import LARGEST, MOST_FILES, pieces_of, values, write_pack
from bench.files import limits
from bench.record.store import DamagedRecord

ENTRY_BYTES = 500
"""Bytes per file for the directory and the manifest of a pack, at most."""


@dataclass
class Part:
    """What goes into one pack."""

    contents: dict[str, bytes] = field(default_factory=dict)
    size: int = 0
    """About how many bytes the pack has, at most."""
    unpacked: int = 0
    values: int = 0
    """About how many values its records have."""

    def add(self, other: Part) -> None:
        """Take the files of another part."""
        self.contents |= other.contents
        self.size += other.size
        self.unpacked += other.unpacked
        self.values += other.values

    def has_room(self, other: Part, largest: int) -> bool:
        """True if `verify` reads both as one pack, and that has at most `largest` bytes."""
        return (
            self.size + other.size <= largest
            and self.unpacked + other.unpacked <= LARGEST
            and self.values + other.values <= limits.VALUES
            and len(self.contents) + len(other.contents) <= MOST_FILES
        )


def _part(contents: dict[str, bytes]) -> Part:
    size = sum(len(zlib.compress(content)) + ENTRY_BYTES for content in contents.values())
    return Part(contents, size, sum(map(len, contents.values())), values(contents))


@dataclass(frozen=True)
class Packed:
    """The packs that were written, and what is in none of them."""

    paths: list[Path]
    files: int
    left_out: list[str]
    """Names of files that would have made too many packs."""
    damaged: list[DamagedRecord]


def pack_in_parts(
    results: Path, target: Path, more: dict[str, bytes], *, largest: int, most: int
) -> Packed:
    """Write all records below `results`, and `more` files by name, into packs of `largest` bytes.

    The first is `target`, the next NAME.2.zip and so on, at most `most`; each of them is a pack of
    its own. A record and its arrays stay together. UsageError if there are no records.
    """
    pieces, damaged = pieces_of(results)
    pieces = [piece for piece in pieces if piece.record.runs]  # others were killed at once
    parts = [Part()]
    left_out: list[str] = []
    records = [_part(piece.contents) for piece in pieces]
    for each in [*records, *(_part({name: content}) for name, content in more.items())]:
        if not _place(each, parts, largest, most):
            left_out += each.contents
    paths, files = [], 0
    for number, part in enumerate(parts, start=1):
        path = _path(target, number)
        write_pack(path, part.contents)
        paths.append(path)
        files += len(part.contents)
    return Packed(paths, files, left_out, damaged)


def _place(each: Part, parts: list[Part], largest: int, most: int) -> bool:
    """Add files to the last part, or to a new one; False if there is no room for them."""
    if not parts[-1].has_room(each, largest):
        if len(parts) == most or not Part().has_room(each, largest):
            return False
        parts.append(Part())
    parts[-1].add(each)
    return True


def _path(target: Path, number: int) -> Path:
    return target if number == 1 else target.with_name(f"{target.stem}.{number}{target.suffix}")
