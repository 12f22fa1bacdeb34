"""Records on disk: one append-only JSON-lines file per arm, read and written."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from bench.errors import UsageError
from bench.files import files, limits
from bench.files.foreign_errors import content_of, refusing
from bench.record.arms import AccuracyArm, Arm, Line, _encode, key_of
from bench.record.metric_units import METRICS
from bench.record.metric_units import Scalar as Scalar
from bench.record.schema import (
    FORMAT,
    READABLE,
    About,
    ArmLine,
    EndLine,
    NameLine,
    RoundLine,
    RunLine,
    Sample,
)

SEALED = 5
"""From this format on, every line has a checksum."""
SEAL = re.compile(rb',"crc":"([0-9a-f]{8})"\}$')
VOID = b"\x18"
"""The character CAN at the end of a line whose writer was killed while writing it. JSON has no such
character."""
Body = RunLine | RoundLine | EndLine | NameLine

_decode_head = msgspec.json.Decoder(ArmLine).decode
_decode_body = msgspec.json.Decoder(Body).decode


class DamagedRecord(UsageError):
    """A record that cannot be read; the message names the file, the line and the remedy."""


@dataclass(kw_only=True)
class Record:
    """A record in memory. `torn` is true if an incomplete last line was left out."""

    path: Path
    head: ArmLine
    runs: list[RunLine] = field(default_factory=list)
    rounds: list[RoundLine] = field(default_factory=list)
    ends: list[EndLine] = field(default_factory=list)
    names: list[NameLine] = field(default_factory=list)
    """Names for reports, in the order in which they were given."""
    torn: bool = False

    @property
    def arm(self) -> Arm:
        """The configuration that the record is about."""
        return self.head.arm

    def within(self, fingerprint: str) -> Record:
        """Return the record with the runs of one machine in one state of its software only.

        An accuracy is that of images, weights and a seed: those of every state are kept, so that
        trainings go on after an update of the system. Runs that a later one supersedes (`--force`)
        are left out.
        """
        current: set[str] = set()
        every_state = isinstance(self.arm, AccuracyArm)
        for run in self.runs:
            if every_state or run.machine.fingerprint == fingerprint:
                if run.fresh:
                    current.clear()
                current.add(run.run)
        return self.of_runs(current)

    def of_runs(self, names: Collection[str]) -> Record:
        """Return the record with the runs of these names only.

        Rounds of a run that ended as `wrong` are left out: something else was timed. If that is the
        last run, all rounds are.
        """
        runs = [run for run in self.runs if run.run in names]
        ends = [line for line in self.ends if line.run in names]
        wrong = {line.run for line in ends if line.status == "wrong"}
        if runs and runs[-1].run in wrong:
            wrong.update(names)
        rounds = [line for line in self.rounds if line.run in names and line.run not in wrong]
        return replace(self, runs=runs, rounds=rounds, ends=ends)

    def latest(self) -> Record:
        """Return the record as measured by the machine and software of its last run."""
        return self.within(self.runs[-1].machine.fingerprint) if self.runs else self


# Writing


def path_of(folder: Path, arm: Arm, settings: dict[str, Scalar]) -> Path:
    """Return the path of an arm's record: `<model>.<kind>.<key>.jsonl`.

    Characters of the model's name that are special in file names are replaced.
    """
    kind = arm.__struct_config__.tag
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", arm.model).strip("-")[:60] or "model"
    return folder / f"{slug}.{kind}.{key_of(arm, settings)}.jsonl"


def create(folder: Path, arm: Arm, settings: dict[str, Scalar], about: About) -> Path:
    """Return the path of an arm's record, which exists then and ends with a whole line."""
    path = path_of(folder, arm, settings)
    with files.named(folder):
        folder.mkdir(parents=True, exist_ok=True)
    head = ArmLine(
        format=FORMAT, key=key_of(arm, settings), arm=arm, settings=settings, about=about
    )
    if not path.exists() and files.create(path, sealed(head)):
        return path
    with files.naming(path), path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                # Mark it instead of truncating: another process may still be writing this line.
                files.append(path, VOID + b"\n")
    return path


def append(path: Path, line: Body) -> None:
    """Append one line and wait until it is on disk."""
    files.append(path, sealed(line))


def sealed(line: Line) -> bytes:
    """Return a line as it is written: JSON whose last field is a checksum of the rest."""
    text = _encode(line)
    return text[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(text)


# Reading


def _opened(line: bytes, *, needed: bool) -> bytes:
    """Return a line without its checksum.

    Raises ValueError if the checksum does not fit, or if it is missing but `needed`.
    """
    seal = SEAL.search(line)
    if seal is None:
        if needed:
            raise ValueError("it has no checksum")
        return line
    text = line[: seal.start()] + b"}"
    if b"%08x" % zlib.crc32(text) != seal[1]:
        raise ValueError("its checksum does not fit: a byte of it was changed")
    return text


def load(path: Path) -> Record:
    """Read one record.

    Raises DamagedRecord for any damage but an incomplete last line, and for a link.
    """
    if path.is_symlink():
        raise damaged(path, "it is a link, and no records are read behind links")

    def refuse(words: str) -> DamagedRecord:
        return damaged(path, f"it cannot be read ({words})")

    return parse(path, content_of(path, limits.RECORD, refuse))


def parse(path: Path, content: bytes) -> Record:
    """Return the record with this content; `path` is where it comes from.

    Raises DamagedRecord for any damage but an incomplete last line.
    """
    if values_in(content) > limits.VALUES:
        raise damaged(
            path, f"it has more than {limits.VALUES:,} values, and no record has that many"
        )
    lines = content.split(b"\n")
    torn = lines.pop() != b""
    reading: _Reading | None = None
    for number, line in enumerate(lines, start=1):
        if line.endswith(VOID):
            continue
        with refusing(_at_line(path, number)):
            if reading is None:
                reading = _Reading(Record(path=path, head=_checked_head(line), torn=torn))
            else:
                reading.add(_decode_body(_opened(line, needed=reading.sealed)))
    if reading is None:
        raise DamagedRecord(f"{path}: it has no whole line; move the file away and run again")
    return reading.record


def _at_line(path: Path, number: int) -> Callable[[str], DamagedRecord]:
    return lambda words: damaged(path, f"line {number} is damaged ({words})")


def damaged(path: Path, why: str) -> DamagedRecord:
    """Return the error for a record that is left out."""
    return DamagedRecord(
        f"{path}: {why}; restore the file or move it away, the other records are untouched"
    )


def values_in(content: bytes) -> int:
    """Return an upper bound on the number of values in lines of JSON, without parsing them."""
    return content.count(b",") + content.count(b"[") + content.count(b"{")


def _checked_head(line: bytes) -> ArmLine:
    """Return the first line; ValueError if its format, checksum or key is wrong."""
    stored = msgspec.json.decode(line)
    number = stored.get("format") if isinstance(stored, dict) else None
    if isinstance(stored, dict) and "format" in stored and number not in READABLE:
        known = " and ".join(map(str, READABLE))
        raise ValueError(f"format {number}, this version reads {known}")
    head = _decode_head(_opened(line, needed=isinstance(number, int) and number >= SEALED))
    if head.key != key_of(head.arm, head.settings):
        raise ValueError(f"its key {head.key} is not that of its configuration and settings")
    return head


@dataclass
class _Reading:
    """A record while it is read: each line has to fit the ones before it."""

    record: Record
    runs: set[str] = field(default_factory=set)
    taken: set[tuple[str, int, str]] = field(default_factory=set)
    processes: set[tuple[str, int]] = field(default_factory=set)
    metrics: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def sealed(self) -> bool:
        """True if every line has a checksum."""
        return self.record.head.format >= SEALED

    def add(self, line: Body) -> None:
        """Add the next line; ValueError if it does not fit."""
        if isinstance(line, RunLine):
            self.runs.add(line.run)
            self.record.runs.append(line)
        elif isinstance(line, NameLine):
            self.record.names.append(line)
        elif line.run not in self.runs:
            raise ValueError(f"run {line.run!r} has no run line before it")
        elif isinstance(line, RoundLine):
            self._check_round(line)
            self.record.rounds.append(line)
        else:
            self.record.ends.append(line)
        self._check_numbers()

    def _check_numbers(self) -> None:
        for name, number, most in (
            ("runs", len(self.record.runs), limits.RUNS),
            ("ends", len(self.record.ends), limits.RUNS),
            ("names", len(self.record.names), limits.RUNS),
            ("rounds", len(self.record.rounds), limits.ROUNDS),
            ("processes", len(self.processes), limits.PROCESSES),
            ("metrics", len(self.metrics), limits.METRICS),
        ):
            if number > most:
                raise ValueError(f"it has more than {most:,} {name}")

    def _check_round(self, line: RoundLine) -> None:
        taken = {(line.run, line.round, sample.metric) for sample in line.samples}
        if taken & self.taken:
            raise ValueError(f"round {line.round} of run {line.run!r} is there twice")
        self.taken |= taken
        self.processes.add((line.run, line.worker))
        for sample in line.samples:
            self._check_sample(sample)

    def _check_sample(self, sample: Sample) -> None:
        """Raise ValueError if a sample is of another kind of arm, in another unit or incomplete."""
        arm, metric = self.record.arm, sample.metric
        kind = str(arm.__struct_config__.tag)
        known = METRICS.get(metric)
        if known is not None and known.arm != kind:
            raise ValueError(f"{metric} is measured of a {known.arm} arm, and this is a {kind} arm")
        before = self.metrics.setdefault(metric, (sample.unit, sample.better))
        if before != (sample.unit, sample.better):
            raise ValueError(f"{metric} is in {sample.unit!r} here and in {before[0]!r} before")
        if metric == "receptive_field" and isinstance(arm, AccuracyArm):
            needed = (f"before_{arm.image_size}", f"after_{arm.image_size}")
            lacking = [name for name in needed if name not in sample.detail]
            if lacking:
                raise ValueError(f"receptive_field lacks {' and '.join(lacking)}")


def load_folder(folder: Path) -> tuple[list[Record], list[DamagedRecord]]:
    """Return all records of a folder in the order of their names, and the damaged ones' errors."""
    records: list[Record] = []
    errors: list[DamagedRecord] = []
    for path in sorted(folder.glob("*.jsonl")):
        try:
            records.append(load(path))
        except DamagedRecord as error:
            errors.append(error)
    return records, errors


def end_of(record: Record, metric: str) -> EndLine | None:
    """Return the last end line that names a metric; None if there is none.

    A run that failed for some metrics only has an end line of its own for those.
    """
    for end in reversed(record.ends):
        if metric in end.metrics:
            return end
    return None


def troubles(record: Record) -> list[EndLine]:
    """Return the end lines that were not ok, unless a later one of the same metric replaces them.

    Each is returned once.
    """
    last: dict[str, EndLine] = {}
    for end in record.ends:
        last.update(dict.fromkeys(end.metrics, end))
    current = list(map(id, last.values()))
    return [end for end in record.ends if end.status != "ok" and id(end) in current]
