"""Change one value of a record to one that no measurement gives: every field, every value.

Each case is a `Cell`: a field of a record of one kind of arm, and the value that it gets. `change`
gives every record of a results folder a cell that was not tried yet; the folder is an odd world
(odd_worlds.py) or a part of the committed results. Keys and checksums fit the new value, so that
nothing but the schema can refuse it. A record that is not refused has to go through every stage.
"""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import UsageError
from bench.record import arms, store
from bench.record.arrays import check

from .conftest import resealed
from .odd_records import lines_of

RESULTS = Path(__file__).parent.parent / "results"
TRIES = 60
"""Impossible values that a record gets before it stays as it is."""
REMOVED = "(removed)"
"""Stands for a field that is not there."""
VALUES: list[Any] = [
    *(0, -1, 1, 2, 0.5, -0.0, 1e-300, 5e-324, 1e22, 1e300, -1e300, 2**53 + 1, 10**18, 10**19),
    *("", "text", "0", "nan", "2026-13-45", "x" * 300, "[/red]", "a\nb\x1b[31m", "\ud800"),
    *(None, True, False, [], {}, [0], [""], [None], [[]], {"": 0}, {"a": {"b": []}}),
    *([1e300, 1e-300], [0.0, -1.0], [[0, 0], [0]], REMOVED),
]


@dataclass(frozen=True)
class Cell:
    """A field of one kind of record, by the names on the way to it, and a value's place in VALUES.

    Numbers in lists are `#` on the way, since every item of a list is alike.
    """

    kind: str
    way: tuple[str, ...]
    value: int

    def __str__(self) -> str:
        return f"{self.kind}: {'.'.join(self.way)} = {str(VALUES[self.value])[:40]!r}"


Place = tuple[str | int, ...]


def places(value: Any, way: Place = ()) -> Iterator[Place]:
    """Yield the way to every value below one, inner and outer."""
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value[:3])
    for key, below in inner:
        yield (*way, key)
        yield from places(below, (*way, key))


def named(kind: str, lines: list[Any], place: Place) -> tuple[str, ...]:
    """Return the names on the way to a place; those of keys that are free texts are `*`."""
    names = [lines[int(place[0])].get("type", "?")]
    at = lines[int(place[0])]
    for key in place[1:]:
        metric = at.get("metric") if isinstance(at, dict) else None
        if metric and key in ("detail", "values"):
            names.append(str(metric))
        free = names[-1] in ("versions", "settings", "studies", "spread", "uncounted", "rates")
        names.append("#" if isinstance(key, int) else "*" if free else key)
        at = at[key]
    return tuple(names)


def with_value(lines: list[Any], place: Place, value: Any) -> bytes | None:
    """Return the record with another value at a place, or None if JSON cannot say it."""
    copied = json.loads(json.dumps(lines))
    at = copied
    for key in place[:-1]:
        at = at[key]
    if value == REMOVED:
        del at[place[-1]]
    else:
        at[place[-1]] = value
    try:
        arm = msgspec.convert(copied[0]["arm"], arms.Arm)
        copied[0]["key"] = arms.key_of(arm, copied[0]["settings"])
    except (msgspec.ValidationError, KeyError, TypeError, ValueError):
        pass  # what is no arm has no key
    try:
        return resealed(b"\n".join(map(msgspec.json.encode, copied)))
    except (ValueError, TypeError):
        return None


def refused(path: Path) -> bool:
    """True if a record is left out of reports; any exception but the usual one passes."""
    try:
        check(store.load(path))
    except UsageError:
        return True
    return False


def hand_out(path: Path, tried: set[Cell], draw: random.Random) -> Cell | None:
    """Give a record the next cell that none had; return it, or None if there is none left."""
    whole, lines = path.read_bytes(), []
    try:
        lines = lines_of(path)
    except ValueError:
        return None  # a torn last line
    kind = str(lines[0]["arm"]["type"])
    ways = [(place, named(kind, lines, place)) for place in places(lines) if len(place) > 1]
    draw.shuffle(ways)
    for place, way in ways:
        for at in draw.sample(range(len(VALUES)), len(VALUES)):
            cell = Cell(kind, way, at)
            if cell in tried:
                continue
            tried.add(cell)
            content = with_value(lines, place, VALUES[at])
            if content is not None and content != whole:
                path.write_bytes(content)
                return cell
    return None


PAIRS = [
    ("amd-epyc-2t-cifar", "nvidia-h200-d28d"),
    ("amd-epyc-2t-eb82", "nvidia-h200-632f"),
    ("nvidia-h200-d656", "amd-epyc-2t-3e69"),
]
"""Machines whose committed records together have every kind of detail."""
RECORDS = 25
"""Records of each machine in a folder: reading more takes longer and shows no more."""


def copy_of_results(results: Path, seed: int) -> None:
    """Write a results folder with some committed records of two machines."""
    draw = random.Random(seed)
    for name, machine in zip(("one", "two"), PAIRS[seed % len(PAIRS)], strict=True):
        paths = sorted((RESULTS / machine / "records").glob("*.jsonl"))
        kinds = {path.name.split(".")[-3]: path for path in draw.sample(paths, len(paths))}
        folder = results / name / "records"
        folder.mkdir(parents=True)
        for path in {*kinds.values(), *draw.sample(paths, min(RECORDS, len(paths)))}:
            for beside in path.parent.glob(f"{path.stem}.*"):
                shutil.copy(beside, folder)


@dataclass
class Changed:
    """The records of a folder that have an impossible value and were not refused."""

    cells: dict[Path, Cell]
    sound: dict[Path, bytes]
    """What they were before."""


def change(results: Path, tried: set[Cell], draw: random.Random, counts: Counter[str]) -> Changed:
    """Give each record impossible values, one after the other, until one of them is not refused."""
    found = Changed({}, {})
    for path in sorted(results.glob("*/records/*.jsonl")):
        whole = path.read_bytes()
        for _ in range(TRIES):
            path.write_bytes(whole)
            cell = hand_out(path, tried, draw)
            if cell is None:
                break
            if not refused(path):
                found.cells[path], found.sound[path] = cell, whole
                break
            counts["refused"] += 1
            path.write_bytes(whole)
    counts["shown"] += len(found.cells)
    return found


def culprits(stage: Callable[[], object], found: Changed) -> Iterator[Cell]:
    """Yield the cells without which a stage that failed does not."""
    for path, cell in found.cells.items():
        changed = path.read_bytes()
        path.write_bytes(found.sound[path])
        try:
            stage()
        except Exception:
            continue
        finally:
            path.write_bytes(changed)
        yield cell
