"""Find two sets of weights by name, to compare them on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.analysis.record_rows import accuracies_of
from bench.analysis.rows import Accuracy
from bench.errors import UsageError
from bench.record.reading import read_below
from bench.record.store import DamagedRecord

NAMED = 8
"""Most sets of weights that a message names."""


def rows_of(results: Path, data: str | None) -> tuple[list[Accuracy], list[DamagedRecord]]:
    """Return every accuracy on a test split below a folder, and the records that cannot be read.

    `data` restricts the accuracies to one data set.
    """
    records, damaged = read_below(results)
    rows = []
    for row in accuracies_of(records):
        if row.top1 and row.arm.split == "test" and data in (None, row.arm.data):
            rows.append(row)
    return rows, damaged


def spelled(row: Accuracy) -> str:
    """Return the name of one set of weights: the model with its tag or seed, and its policy."""
    if row.arm.trains:
        return f"{row.name}@seed={row.arm.seed}"
    return row.name + (f" under {row.arm.policy}" if row.arm.policy else "")


def find(name: str, rows: list[Accuracy]) -> Accuracy:
    """Return the set of weights with a name: `model@tag`, `model@seed=1`, a record's path or key.

    Raises UsageError if there is none, or more than one.
    """
    found = [row for row in rows if name in _names(row)]
    if len(found) == 1:
        return found[0]
    if found:
        keys = ", ".join(map(_with_key, found))
        raise UsageError(
            f"--compare: {name!r} means {len(found)} sets of weights; name one by its key: {keys}"
        )
    known = ", ".join(map(_with_key, rows[:NAMED])) or "none"
    more = " ..." if len(rows) > NAMED else ""
    raise UsageError(f"--compare: no evaluated weights {name!r}; there are {known}{more}")


def _names(row: Accuracy) -> Sequence[str]:
    """Return everything that names a set of weights on the command line."""
    path = row.path
    plain = () if row.arm.policy and not row.arm.trains else (row.name,)
    return (*plain, spelled(row), path.stem, path.name, str(path), _key(row))


def _key(row: Accuracy) -> str:
    """Return the key of a row's record, from its file name."""
    return row.path.stem.rpartition(".")[2]


def _with_key(row: Accuracy) -> str:
    return f"{spelled(row)} ({_key(row)})"
