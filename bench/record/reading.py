"""Records with the arrays beside them, for everything that shows or judges them: a damaged one is named and left out."""

from __future__ import annotations

import os
from pathlib import Path

from bench.errors import UsageError
from bench.record.arrays import check
from bench.record.store import DamagedRecord, Record, damaged, load_folder


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
    folders, left_out = record_folders(path)
    found: list[Record] = []
    for folder in folders:
        records, damaged_ones = read_folder(folder)
        found += records
        left_out += damaged_ones
    return found, left_out


def record_folders(path: Path) -> tuple[list[Path], list[DamagedRecord]]:
    """Every folder `records` below `path` with records in it, and those behind links: nobody follows a link to read records.

    What a link leads to may be a stranger's choice (a clone carries links), or a folder that is read already.
    """
    found: list[Path] = []
    links: list[DamagedRecord] = []
    for place, names, files in os.walk(path):
        here = Path(place)
        if here.name == "records" and any(name.endswith(".jsonl") for name in files):
            found.append(here)
        for one in (here / name for name in names if (here / name).is_symlink()):
            if one.name == "records" or (one / "records").is_dir():
                links.append(
                    DamagedRecord(
                        f"{one}: a link, and no records are read behind links; remove it or put the folder there"
                    )
                )
    return sorted(found), sorted(links, key=str)
