"""Records on disk: one append-only JSON-lines file per arm, read and written."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
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
    RoundLine,
    RunLine,
    Sample,
)

SEALED = 5
"""From this format on every line has a checksum."""


SEAL = re.compile(rb',"crc":"([0-9a-f]{8})"\}$')


VOID = b"\x18"
"""The character CAN at the end of a line: its writer was killed in the middle of it. JSON has no such character."""


Body = RunLine | RoundLine | EndLine


_decode_head = msgspec.json.Decoder(ArmLine).decode


_decode_body = msgspec.json.Decoder(Body).decode


class DamagedRecord(UsageError):
    """A record that cannot be read; the message names file, line and what to do."""


@dataclass(kw_only=True)
class Record:
    """A record in memory. `torn` is true where a last, incomplete line was left out."""

    path: Path
    head: ArmLine
    runs: list[RunLine] = field(default_factory=list)
    rounds: list[RoundLine] = field(default_factory=list)
    ends: list[EndLine] = field(default_factory=list)
    torn: bool = False

    @property
    def arm(self) -> Arm:
        return self.head.arm

    def within(self, fingerprint: str) -> Record:
        """This record with the runs of one machine, in one state of its software, alone; superseded ones left out."""
        mine = [run for run in self.runs if run.machine.fingerprint == fingerprint]
        last = max((number for number, run in enumerate(mine) if run.fresh), default=0)
        kept = {run.run for run in mine[last:]}
        return Record(
            path=self.path,
            head=self.head,
            runs=[run for run in self.runs if run.run in kept],
            rounds=[line for line in self.rounds if line.run in kept],
            ends=[line for line in self.ends if line.run in kept],
            torn=self.torn,
        )

    def latest(self) -> Record:
        """This record as its last run's machine and software measured it."""
        return self.within(self.runs[-1].machine.fingerprint) if self.runs else self


def path_of(folder: Path, arm: Arm, settings: dict[str, Scalar]) -> Path:
    """Where the record of an arm lies: `<model>.<kind>.<key>.jsonl`, whatever characters the model's name has."""
    kind = arm.__struct_config__.tag
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", arm.model).strip("-")[:60] or "model"
    return folder / f"{slug}.{kind}.{key_of(arm, settings)}.jsonl"


def create(folder: Path, arm: Arm, settings: dict[str, Scalar], about: About) -> Path:
    """Make sure the record of an arm exists and ends with a whole line; returns its path."""
    path = path_of(folder, arm, settings)
    with files.named(folder):
        folder.mkdir(parents=True, exist_ok=True)
    head = ArmLine(
        format=FORMAT, key=key_of(arm, settings), arm=arm, settings=settings, about=about
    )
    if not path.exists() and files.create(path, sealed(head)):
        return path
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                # Not cut off: another writer may just be in the middle of its line, which then ends before the mark.
                files.append(path, VOID + b"\n")
    return path


def append(path: Path, line: Body) -> None:
    """Append one line and wait until it is on disk."""
    files.append(path, sealed(line))


def sealed(line: Line) -> bytes:
    """A line as it is written: JSON whose last field is a checksum of the rest."""
    text = _encode(line)
    return text[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(text)


def _opened(line: bytes, *, needed: bool) -> bytes:
    """A line without its checksum; ValueError where that does not fit, or is missing and `needed`."""
    found = SEAL.search(line)
    if found is None:
        if needed:
            raise ValueError("it has no checksum")
        return line
    text = line[: found.start()] + b"}"
    if b"%08x" % zlib.crc32(text) != found[1]:
        raise ValueError("its checksum is another: a byte of it was changed")
    return text


def load(path: Path) -> Record:
    """Read one record; `DamagedRecord` where anything but a torn last line is wrong. A link is not followed."""
    if path.is_symlink():
        raise damaged(path, "it is a link, and no records are read behind links")
    return parse(
        path,
        content_of(
            path, limits.RECORD, lambda words: damaged(path, f"it cannot be read ({words})")
        ),
    )


def parse(path: Path, content: bytes) -> Record:
    """A record by its bytes; `path` is where they are from."""
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
                reading.add(
                    _decode_body(_opened(line, needed=reading.record.head.format >= SEALED))
                )
    if reading is None:
        raise DamagedRecord(f"{path}: no whole line in it; move the file away and run again")
    return reading.record


def _at_line(path: Path, number: int) -> Callable[[str], DamagedRecord]:
    return lambda words: damaged(path, f"line {number} is damaged ({words})")


def damaged(path: Path, why: str) -> DamagedRecord:
    """The line for a record that is left out."""
    return DamagedRecord(
        f"{path}: {why}; restore the file or move it away, the other records are untouched"
    )


def values_in(content: bytes) -> int:
    """At least as many as there are values in some lines of JSON, without reading them."""
    return content.count(b",") + content.count(b"[") + content.count(b"{")


def _checked_head(line: bytes) -> ArmLine:
    found = msgspec.json.decode(line)
    if isinstance(found, dict) and found.get("format", FORMAT) not in READABLE:
        raise ValueError(
            f"format {found['format']}, this version reads {' and '.join(map(str, READABLE))}"
        )
    line = _opened(
        line,
        needed=isinstance(found, dict)
        and isinstance(found.get("format"), int)
        and found["format"] >= SEALED,
    )
    head = _decode_head(line)
    if head.key != key_of(head.arm, head.settings):
        raise ValueError(f"its key {head.key} is not that of its arm and settings")
    return head


@dataclass
class _Reading:
    """A record that is being read: each line has to fit those before it."""

    record: Record
    runs: set[str] = field(default_factory=set)
    taken: set[tuple[str, int, str]] = field(default_factory=set)
    processes: set[tuple[str, int]] = field(default_factory=set)
    metrics: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, line: Body) -> None:
        """Take the next line; ValueError where it does not fit."""
        if isinstance(line, RunLine):
            self.runs.add(line.run)
            self.record.runs.append(line)
        elif line.run not in self.runs:
            raise ValueError(f"run {line.run!r} has no run line before it")
        elif isinstance(line, RoundLine):
            self._fits(line)
            self.record.rounds.append(line)
        else:
            self.record.ends.append(line)
        for name, found, most in (
            ("runs", len(self.record.runs), limits.RUNS),
            ("ends", len(self.record.ends), limits.RUNS),
            ("rounds", len(self.record.rounds), limits.ROUNDS),
            ("processes", len(self.processes), limits.PROCESSES),
            ("metrics", len(self.metrics), limits.METRICS),
        ):
            if found > most:
                raise ValueError(f"more than {most:,} {name}")

    def _fits(self, line: RoundLine) -> None:
        taken = {(line.run, line.round, sample.metric) for sample in line.samples}
        if taken & self.taken:
            raise ValueError(f"round {line.round} of run {line.run!r} is there twice")
        self.taken |= taken
        self.processes.add((line.run, line.worker))
        for sample in line.samples:
            self._fits_arm(sample)

    def _fits_arm(self, sample: Sample) -> None:
        arm, kind = self.record.arm, str(self.record.arm.__struct_config__.tag)
        known = METRICS.get(sample.metric)
        if known is not None and known.arm != kind:
            raise ValueError(
                f"{sample.metric} is measured of a {known.arm} arm, and this one is a {kind} arm"
            )
        says = (sample.unit, sample.better)
        if self.metrics.setdefault(sample.metric, says) != says:
            raise ValueError(
                f"{sample.metric} is in {says[0]!r} here and in {self.metrics[sample.metric][0]!r} before"
            )
        if sample.metric == "receptive_field" and isinstance(arm, AccuracyArm):
            lacking = [
                name
                for when in ("before", "after")
                if (name := f"{when}_{arm.image_size}") not in sample.detail
            ]
            if lacking:
                raise ValueError(f"receptive_field lacks {' and '.join(lacking)}")


def load_folder(folder: Path) -> tuple[list[Record], list[DamagedRecord]]:
    """All records of a folder in the order of their names, and what could not be read."""
    records: list[Record] = []
    damaged: list[DamagedRecord] = []
    for path in sorted(folder.glob("*.jsonl")):
        try:
            records.append(load(path))
        except DamagedRecord as error:
            damaged.append(error)
    return records, damaged


def end_of(record: Record, metric: str) -> EndLine | None:
    """How it ended for a metric last: a run that failed for some metrics alone has an end line for those."""
    ends = [end for end in record.ends if metric in end.metrics]
    return ends[-1] if ends else None


def troubles(record: Record) -> list[EndLine]:
    """The ends that were not ok and were not mended by a later one of the same metric, each once."""
    metrics = dict.fromkeys(metric for end in record.ends for metric in end.metrics)
    last = [end_of(record, metric) for metric in metrics]
    return [end for end in record.ends if end.status != "ok" and any(end is one for one in last)]
