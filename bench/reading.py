"""Records with the arrays beside them, for everything that shows or judges them: a damaged one is named and left out."""

from __future__ import annotations

from pathlib import Path

from bench.errors import UsageError
from bench.record import DamagedRecord, Record, damaged, load_folder
from bench.sidecar import check


def read_folder(folder: Path) -> tuple[list[Record], list[DamagedRecord]]:
    """All records of a folder whose arrays are what they say, in the order of their names, and what had to be left out."""
    records, left_out = load_folder(folder)
    kept = []
    for record in records:
        try:
            check(record)
        except UsageError as error:
            left_out.append(damaged(record.path, f"its arrays do not fit it ({error})"))
        else:
            kept.append(record)
    return kept, left_out


def read_below(path: Path) -> tuple[list[Record], list[DamagedRecord]]:
    """The same of all records anywhere below a folder, machine by machine."""
    found: list[Record] = []
    left_out: list[DamagedRecord] = []
    for folder in sorted({one.parent for one in path.glob("**/records/*.jsonl")}):
        records, damaged_ones = read_folder(folder)
        found += records
        left_out += damaged_ones
    return found, left_out
