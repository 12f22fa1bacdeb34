"""Records together with their arrays, for everything that shows or judges them.

Damaged ones are named and left out.
"""

from __future__ import annotations

import os
from pathlib import Path

from bench.errors import UsageError
from bench.record.arrays import check
from bench.record.store import DamagedRecord, Record, damaged, load_folder


def read_folder(folder: Path) -> tuple[list[Record], list[DamagedRecord]]:
    """Return a folder's records in the order of their names, and the errors of those left out.

    A record is left out if it is damaged or its arrays do not fit it.
    """
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
    """Return all records anywhere below a folder, machine by machine, and the errors."""
    folders, left_out = record_folders(path)
    records: list[Record] = []
    for folder in folders:
        read, errors = read_folder(folder)
        records += read
        left_out += errors
    return records, left_out


def record_folders(path: Path) -> tuple[list[Path], list[DamagedRecord]]:
    """Return every folder `records` with records below `path`, and errors for those behind links.

    Links are not followed: what one leads to may be somebody else's choice, as a clone contains
    links, or a folder that is read already.
    """
    folders: list[Path] = []
    links: list[DamagedRecord] = []
    for place, names, files in os.walk(path):
        here = Path(place)
        if here.name == "records" and any(name.endswith(".jsonl") for name in files):
            folders.append(here)
        for name in names:
            link = here / name
            if link.is_symlink() and (name == "records" or (link / "records").is_dir()):
                links.append(
                    DamagedRecord(
                        f"{link}: it is a link, and no records are read behind links; "
                        "remove it or put the folder there"
                    )
                )
    return sorted(folders), sorted(links, key=str)
