"""Files that only ever grow: of two versions, the one that continues the other counts."""

from __future__ import annotations

GROWING = (".jsonl", ".ndjson", ".log")
"""Records, and what a visit says of itself. Other files never change."""


def continued(name: str, one: bytes, other: bytes) -> bytes | None:
    """Return the version of a file that has all of the other one; None if neither has."""
    shorter, longer = sorted((one, other), key=len)
    if one == other or (name.endswith(GROWING) and longer.startswith(shorter)):
        return longer
    return None
