"""The packs that a visit brings home: its records, with its journal and its logs."""

from __future__ import annotations

from pathlib import Path

from bench.exchange.parts import Packed, pack_in_parts
from bench.visit.journal import Folder

LARGEST, MOST = 15 << 20, 8
"""Bytes per pack and number of packs that machines without a network hand out."""
LOG_BYTES = 1 << 20
"""Bytes at the end of each log that are packed."""


def parcel(folder: Path, target: Path) -> Packed | None:
    """Write the packs of a visit's folder: `target`, NAME.2.zip and so on.

    Returns None, and writes nothing, if there are no records.
    """
    visit = Folder(folder)
    records = visit.record_sizes()
    if not records:
        return None
    latest = max(records, key=lambda path: path.stat().st_mtime)
    home = f"{latest.parent.parent.name}/visit"
    more = {}
    if visit.journal.exists():
        more[f"{home}/steps.ndjson"] = visit.journal.read_bytes()
    for log in sorted(visit.logs.glob("*.log")):
        more[f"{home}/{log.name}"] = log.read_bytes()[-LOG_BYTES:]
    return pack_in_parts(visit.results, target, more, largest=LARGEST, most=MOST)
