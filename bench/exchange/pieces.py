"""What a results folder has to pack: each sound record, with the arrays that belong to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UsageError, visible
from bench.exchange.record_checks import wrong_counts
from bench.files.files import read
from bench.record.reading import read_below
from bench.record.store import DamagedRecord, Record, damaged

PACKED = re.compile(
    r"manifest\.json|signature\.dsse\.json|[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}/"
    r"(records/[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\.(jsonl|npz)"
    r"|visit/[a-z0-9_]{1,100}\.(ndjson|log))",
    re.ASCII,
)
"""The names of the manifest and its signature, of records, of their arrays, and of what a visit
says of itself. Other files are never unpacked."""


@dataclass(frozen=True)
class Piece:
    """A record with its arrays, which must be in the same pack."""

    record: Record
    contents: dict[str, bytes]
    """The content of each file, by its name in a pack."""


def pieces_of(results: Path) -> tuple[list[Piece], list[DamagedRecord]]:
    """Return every sound record below `results`, and the errors of the others.

    Raises UsageError if there are none, or a name that `verify` would refuse.
    """
    if not results.is_dir():
        raise UsageError(f"--results: {results} is not a folder; `python -m bench run` makes one")
    records, errors = read_below(results)
    if not records and errors:
        raise errors[0]
    if not records:
        raise UsageError(
            f"--results: {results} contains no records; `python -m bench run` measures some"
        )
    mine = [record for record in records if record.path.parent.parent.parent == results]
    if not mine:
        raise UsageError(
            f"--results: {results} itself contains no machine's folder; "
            "give the folder that contains one folder per machine"
        )
    errors += _too_deep(records, results)
    pieces = []
    for record in mine:
        if wrong := list(wrong_counts(record)):
            errors.append(damaged(record.path, wrong[0]))
        else:
            pieces.append(Piece(record, _contents(record, results)))
    if not pieces:
        raise errors[0]
    return pieces, errors


def _too_deep(records: list[Record], results: Path) -> list[DamagedRecord]:
    """Return an error per machine's folder that does not lie in `results` itself."""
    folders = dict.fromkeys(record.path.parent.parent for record in records)
    return [
        DamagedRecord(f"{folder}: left out, as it is not in {results} itself; move it there")
        for folder in folders
        if folder.parent != results
    ]


def _contents(record: Record, results: Path) -> dict[str, bytes]:
    contents = {}
    for path in _files(record):
        contents[_named(path.relative_to(results).as_posix())] = _whole_lines(path)
    return contents


def _files(record: Record) -> list[Path]:
    """Return the paths of a record and of its arrays."""
    names = dict.fromkeys(line.arrays for line in record.rounds if line.arrays)
    return [record.path, *map(record.path.with_name, names)]


def _named(name: str) -> str:
    """Return the name of a file in a pack; UsageError if `verify` would refuse it."""
    if not PACKED.fullmatch(name):
        raise UsageError(
            f"pack: {visible(name)} is not a name that a run gives; "
            "move it away, or rename the folder with letters and digits"
        )
    return name


def _whole_lines(path: Path) -> bytes:
    """Return a file's content, without the incomplete last line of a record."""
    content = read(path)
    return content[: content.rfind(b"\n") + 1] if path.suffix == ".jsonl" else content
