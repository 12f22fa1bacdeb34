"""The folder of a visit: records, logs, and a line per step that has ended, on disk at once."""

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
"""Bytes of a journal."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """How a step ended. A step that was tried again has several entries; the last one counts."""

    step: str
    command: str
    why: str
    outcome: Outcome
    started: str
    """In ISO 8601, UTC."""
    given_s: float
    """Seconds that the step was given."""
    seconds: float
    code: int | None = None
    reason: str = ""
    """Why it was skipped or ended, or the last lines that it wrote."""
    records: int = 0
    """Records that it wrote or added to."""


@dataclass(frozen=True)
class Folder:
    """What a visit writes: `results/`, `logs/` and `steps.ndjson` in its folder."""

    path: Path

    @property
    def results(self) -> Path:
        """The results folder of all steps."""
        return self.path / "results"

    @property
    def logs(self) -> Path:
        """The output of every step."""
        return self.path / "logs"

    @property
    def journal(self) -> Path:
        """One JSON object a line, an `Entry` each."""
        return self.path / "steps.ndjson"

    def make(self) -> None:
        """Make the folders. UsageError if there is something else, or nothing may be written."""
        try:
            for folder in (self.results, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"--out: {self.path} cannot be made a folder ({error.strerror}); give a path "
                "that can, such as --out visit.zip"
            ) from None

    def log(self, step: str) -> Path:
        """The log of a step; of a step that was tried again, both outputs one after the other."""
        return self.logs / f"{step}.log"

    def add(self, entry: Entry) -> None:
        """Write an entry: in one piece, and on disk when this returns."""
        line = msgspec.json.encode(entry) + b"\n"
        if files.create(self.journal, line):
            return
        torn = files.read(self.journal)[-1:] not in (b"\n", b"")
        files.append(self.journal, b"\n" + line if torn else line)

    def entries(self) -> list[Entry]:
        """Return all entries. UsageError if the journal is damaged.

        A line that was cut short by a crash is passed over.
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
            return [
                msgspec.json.decode(line, type=Entry)
                for line in content.splitlines()
                if _is_whole(line)
            ]

    def done(self) -> set[str]:
        """The steps whose last entry is ok."""
        return {name for name, entry in last(self.entries()).items() if entry.outcome == "ok"}

    def record_sizes(self) -> dict[Path, int]:
        """Return the bytes of every record."""
        return {
            path: path.stat().st_size for path in sorted(self.results.glob("*/records/*.jsonl"))
        }


def last(entries: Sequence[Entry]) -> dict[str, Entry]:
    """Return the last entry of every step, in the order of their first ones."""
    return {entry.step: entry for entry in entries}


def _is_whole(line: bytes) -> bool:
    return line.startswith(b"{") and line.endswith(b"}")
