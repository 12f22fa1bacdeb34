"""The folder of a visit: its records and logs, and a journal with a line per finished step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from bench.errors import UsageError
from bench.files import files
from bench.files.foreign_errors import content_of, refusing

Outcome = Literal["ok", "failed", "timed out", "out of memory", "interrupted", "skipped"]
LARGEST = 16 << 20
"""Largest size of a journal in bytes."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """How a step ended. A step that was repeated has several entries; the last one counts."""

    step: str
    command: str
    why: str
    outcome: Outcome
    started: str
    """Date and time in ISO 8601, UTC."""
    given_s: float
    """The step's time limit in seconds."""
    seconds: float
    """Its duration."""
    code: int | None = None
    reason: str = ""
    """Why it was skipped, or the last lines of its output if it did not succeed."""
    records: int = 0
    """Number of records that it wrote or extended."""


ENTRIES = msgspec.json.Decoder(Entry)


@dataclass(frozen=True)
class Folder:
    """A visit's folder, with `results/`, `logs/` and `steps.ndjson`."""

    path: Path

    @property
    def results(self) -> Path:
        """The results folder that all steps share."""
        return self.path / "results"

    @property
    def logs(self) -> Path:
        """The folder with one log per step."""
        return self.path / "logs"

    @property
    def journal(self) -> Path:
        """The file with one `Entry` per line, in JSON."""
        return self.path / "steps.ndjson"

    def make(self) -> None:
        """Create the folders.

        Raises UsageError if another file is in the way, or if the disk cannot be written to.
        """
        try:
            for folder in (self.results, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"--out: the folder {self.path} cannot be created ({error.strerror}); give another "
                "path, such as --out visit.zip"
            ) from None

    def log(self, step: str) -> Path:
        """Return the path of a step's log; a repeated step appends its output."""
        return self.logs / f"{step}.log"

    def add(self, entry: Entry) -> None:
        """Append an entry in one piece; it is on disk when this returns."""
        line = msgspec.json.encode(entry) + b"\n"
        if files.create(self.journal, line):
            return
        torn = files.read(self.journal)[-1:] not in (b"\n", b"")
        files.append(self.journal, b"\n" + line if torn else line)

    def entries(self) -> list[Entry]:
        """Return all entries, without a line that a crash cut short.

        Raises UsageError if the journal is damaged.
        """
        if not self.journal.exists():
            return []

        def refuse(words: str) -> UsageError:
            return UsageError(
                f"{self.journal} cannot be read ({words}); move {self.path} away or give another "
                "--out"
            )

        content = content_of(self.journal, LARGEST, refuse)
        with refusing(refuse):
            return list(map(ENTRIES.decode, filter(_is_whole, content.splitlines())))

    def done(self) -> set[str]:
        """Return the names of the steps whose last entry is ok."""
        return {name for name, entry in last(self.entries()).items() if entry.outcome == "ok"}

    def record_sizes(self) -> dict[Path, int]:
        """Return the size of every record in bytes."""
        return {
            path: path.stat().st_size for path in sorted(self.results.glob("*/records/*.jsonl"))
        }


def last(entries: Sequence[Entry]) -> dict[str, Entry]:
    """Return the last entry of every step, in the order of the first entries."""
    return {entry.step: entry for entry in entries}


def _is_whole(line: bytes) -> bool:
    return line.startswith(b"{") and line.endswith(b"}")
