"""Read a folder of packs as machines: each pack verified, each machine's records by themselves.

Several packs may have records of one machine, as those of a visit do. They are put together as
`bench unpack` would lay them into one folder; two packs that disagree about a record cannot be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from pathlib import Path

from bench.analysis.grade import ORDER, severity, worst
from bench.analysis.rows import Summary
from bench.analysis.summary import summarise
from bench.errors import UsageError
from bench.exchange.continuing import continued
from bench.exchange.pack import Checked, ReadPack, read_pack, verifying
from bench.exchange.signing import PublicKey
from bench.exchange.statement import Signature
from bench.record.schema import RunLine
from bench.record.store import Record


@dataclass(frozen=True)
class PooledMachine:
    """One machine of a pool, with everything that was measured on it.

    `last_run` is its newest run. `packs` are the names of the files that its records came from,
    with their signatures.
    """

    summary: Summary
    last_run: RunLine
    packs: dict[str, Signature | None]

    @property
    def name(self) -> str:
        """The name of its folder in the packs."""
        return self.summary.machine.name


@dataclass(frozen=True)
class Pool:
    """The machines of a folder of packs, and why packs were left out.

    Machines whose speeds may be ranked come first, those without speeds last, each by name.
    """

    machines: list[PooledMachine]
    packs: int
    """Packs that were accepted."""
    left_out: list[UsageError]
    alike: dict[str, str] = field(default_factory=dict)
    """Folders that by their records are of the same machine as another one, with the other."""

    @property
    def summaries(self) -> list[Summary]:
        """What was measured on each machine."""
        return [machine.summary for machine in self.machines]


@dataclass
class _Folder:
    """The records of one machine so far: content, record and pack of each, by file name."""

    hardware: tuple[str, ...]
    files: dict[str, tuple[bytes, Record, str]] = field(default_factory=dict)
    packs: dict[str, Signature | None] = field(default_factory=dict)


def read_pool(folder: Path, keys: Sequence[PublicKey] = ()) -> Pool:
    """Read every pack (`*.zip`) that lies directly in a folder.

    With `keys`, packs that are signed by none of them are left out.

    Raises UsageError if it contains none, or none that is accepted.
    """
    if not folder.is_dir():
        raise UsageError(f"pool: {folder} is not a folder; give one with files from `bench pack`")
    paths = sorted(folder.glob("*.zip"))
    if not paths:
        raise UsageError(
            f"pool: {folder} contains no pack; `python -m bench pack {folder / 'mine.zip'}` "
            "writes one"
        )
    folders: dict[str, _Folder] = {}
    left_out: list[UsageError] = []
    for path in paths:
        try:
            read = read_pack(path, keys)
            _refuse(path, read.checked, keys)
            _add(path, read, folders)
        except UsageError as error:
            left_out.append(error)
    if not folders:
        raise UsageError(_first(left_out))
    machines = [_machine(name, folders[name]) for name in sorted(folders)]
    machines.sort(key=_severity)
    return Pool(machines, len(paths) - len(left_out), left_out, _alike(folders))


def _first(left_out: list[UsageError]) -> str:
    """Return why nothing could be read, by its first reason."""
    more = len(left_out) - 1
    packs = "1 more pack" if more == 1 else f"{more} more packs"
    return f"{left_out[0]}" + (f" (and {packs} left out)" if more else "")


def _refuse(path: Path, checked: Checked, keys: Sequence[PublicKey]) -> None:
    """Raise UsageError for a pack that `bench verify` refuses."""
    if checked.problems:
        more = len(checked.problems) - 1
        others = f" (and {more} more: `{verifying(path, keys)}`)" if more else ""
        raise UsageError(f"{path}: left out: {checked.problems[0]}{others}")


def _add(path: Path, read: ReadPack, folders: dict[str, _Folder]) -> None:
    """Add the records of a pack to its machines' folders.

    Raises UsageError, before anything is added, if they disagree with those of another pack.
    """
    new: dict[str, _Folder] = {}
    for machine, records in read.records.items():
        known = folders.get(machine) or _Folder(_hardware(records))
        if known.packs and known.hardware != _hardware(records):
            raise UsageError(
                f"{path}: left out: its {machine} is another machine than that of "
                f"{next(iter(known.packs))}; have one of the two folders renamed and packed again"
            )
        merged = dict(known.files)
        for record in records:
            name = record.path.as_posix()
            merged[name] = _newer(path, name, merged, (read.contents[name], record, path.name))
        packs = {**known.packs, path.name: read.checked.signature}
        new[machine] = _Folder(known.hardware, merged, packs)
    folders.update(new)


Entry = tuple[bytes, Record, str]


def _newer(path: Path, name: str, known: dict[str, Entry], entry: Entry) -> Entry:
    """Return the longer version of a record; UsageError if neither continues the other."""
    old = known.get(name)
    if old is None:
        return entry
    kept = continued(name, old[0], entry[0])
    if kept is None:
        raise UsageError(
            f"{path}: left out: {name} is another record in {old[2]}; "
            "move one of the two packs away"
        )
    return old if kept == old[0] else entry


def _hardware(records: Iterable[Record]) -> tuple[str, ...]:
    """Return what the newest run says of its machine, apart from software and settings."""
    machine = _last_run(records).machine
    hardware = (machine.cpu, str(machine.cores), machine.accelerator or "")
    return (machine.name, *hardware)


def _last_run(records: Iterable[Record]) -> RunLine:
    """Return the newest run of some records."""
    return max(chain.from_iterable(map(attrgetter("runs"), records)), key=attrgetter("started"))


def _machine(name: str, folder: _Folder) -> PooledMachine:
    records = [record for _, record, _ in folder.files.values()]
    summary = summarise(records, of_studies=True, name=name)
    return PooledMachine(summary, _last_run(records), folder.packs)


def _severity(machine: PooledMachine) -> int:
    """Return 0 for a machine with good speeds, more for a worse grade, most for no speeds."""
    found = worst(machine.summary)
    return len(ORDER) if found is None else severity(found)


def _alike(folders: dict[str, _Folder]) -> dict[str, str]:
    return dict(_pairs(folders))


def _pairs(folders: dict[str, _Folder]) -> Iterator[tuple[str, str]]:
    """Yield each folder that is of the same machine as an earlier one, and that one."""
    first: dict[tuple[str, ...], str] = {}
    for name in sorted(folders):
        earlier = first.setdefault(folders[name].hardware, name)
        if earlier != name:
            yield name, earlier
