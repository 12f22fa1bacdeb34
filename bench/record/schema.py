"""The record: one append-only JSON-lines file per arm, and everything that reads or writes it.

A file holds, in this order and any number of runs: one `arm` line (format, key, arm, settings), then for each run a
`run` line (machine, versions, seed), one `round` line per finished round (raw samples with unit and direction), and
an `end` line (how it ended; several where that differs between metrics, which each line names). A run that was killed
has no `end` line; its rounds count all the same.

A finished round is appended and synced at once, so a kill loses the round in flight at most. A torn last line is void:
it is reported on reading and marked before the next append; any other damage is a `DamagedRecord` naming file and line.
Lines are only ever added at the end, each in one step, so that several programs may write beside each other.

Format history
    1   first format
    2   speed arms have a mode; probes; windows carry what the machine did beside them and whether they were repeated;
        rounds name the process they were taken in; runs say why an arm took part
    3   accuracy arms say how they were tuned, stretched and executed; a policy may leave a choice early
    4   runs name the studies that they were made for; what format 3 has is still read
    5   every line ends with a checksum (`crc`: CRC-32 of the line without it), and a torn one is closed by the character
        CAN instead of being cut off; what formats 3 and 4 have is still read
"""

from __future__ import annotations

import hashlib
import os
import re
import statistics
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bench.errors import UsageError
from bench.files import files, limits
from bench.files.foreign_errors import content_of, refusing
from bench.record.metric_units import METRICS, check_sample, check_setup
from bench.record.metric_units import Scalar as Scalar

FORMAT = 5
READABLE = (3, 4, 5)
"""Formats 4 and 5 only add."""
SEALED = 5
"""From this format on every line has a checksum."""
SEAL = re.compile(rb',"crc":"([0-9a-f]{8})"\}$')
VOID = b"\x18"
"""The character CAN at the end of a line: its writer was killed in the middle of it. JSON has no such character."""

ImageSize = Annotated[int, Meta(ge=1, le=limits.IMAGE_SIZE)]
Classes = Annotated[int, Meta(ge=1, le=limits.CLASSES)]
Positive = Annotated[int, Meta(ge=1, le=10**9)]
Device = Annotated[str, Meta(pattern=r"^(cpu|cuda|mps)(:[0-9]{1,4})?$")]
Sidecar = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\.npz$")]
Status = Literal["ok", "oom", "failed", "timeout", "unsupported", "diverged"]
Mode = Literal["inference", "training", "capacity"]
Phase = Literal["measure", "choose", "confirm"]
MEASURED: tuple[Phase, ...] = ("measure", "choose")
"""The phases whose rounds stand in tables of one policy; those that confirm a choice stand in the table of the best."""
Role = Literal["asked", "reference", "sentinel", "probe"]


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """Anything that is stored; unknown fields are damage, not extensions."""


class CountArm(Line, tag="count", frozen=True, kw_only=True):
    """What parameters and MACs are counted of: no policy and no device change them."""

    model: str
    source: str | None = None
    image_size: ImageSize
    num_classes: Classes


class SpeedArm(Line, tag="speed", frozen=True, kw_only=True):
    """What a speed is measured of. `device` is cpu, cuda or mps; which one is in the run line.

    `mode` is what a call does: a forward pass, a training step, or nothing yet (capacity: the batch size is searched).
    """

    model: str
    source: str | None = None
    image_size: ImageSize
    num_classes: Classes
    policy: str
    device: Device
    batch_size: Annotated[int, Meta(ge=1, le=limits.BATCH)]
    mode: Mode = "inference"


class ProbeArm(Line, tag="probe", frozen=True, kw_only=True):
    """A fixed workload that tells something of the machine: how fast it is at best, and whether it stayed the same."""

    model: str = "machine"
    precision: str
    device: Device


NORMALISED = "normalised"
"""Ends a transform whose mean and deviation stand in the sample: small images that fit into memory are normalised by their
training split, others by ImageNet's mean and deviation, and which they are is known once they are opened."""


class AccuracyArm(Line, tag="accuracy", frozen=True, kw_only=True):
    """What a top-1 is measured of: published `weights`, a `checkpoint`, or a training under `recipe`, with `policy`.

    A data set's baseline that is no network has neither. `split` and `transform` say what was evaluated and how.
    """

    model: str
    source: str | None = None
    image_size: ImageSize
    num_classes: Classes
    data: str
    split: str
    transform: str
    recipe: str | None = None
    recipe_hash: str | None = None
    tuning: str | None = None
    """How the recipe's values were come by: as is, a search, or a trial of one."""
    learning_rate: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    """Where a search or a trial puts another one in the recipe's place."""
    equalise: str | None = None
    """What is equal for all models of a comparison: epochs, macs or seconds."""
    epochs: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    """To which the schedule was stretched for that, where they are not the recipe's."""
    policy: str | None = None
    weights: str | None = None
    checkpoint: str | None = None
    """Start of the SHA-256 of a file of weights."""
    labels: str | None = None
    """Where others than the data set's own were asked."""
    seed: int | None = None

    @property
    def baseline(self) -> bool:
        """Whether this is a reference row of the data set, which is no network."""
        return self.recipe is None and self.weights is None and self.checkpoint is None


Arm = CountArm | SpeedArm | AccuracyArm | ProbeArm


class About(Line, tag="about", frozen=True, kw_only=True):
    """What the report wants to know of a model and cannot ask torch: its family and published name."""

    family: str
    timm_name: str | None = None
    summary: str = ""
    caveat: str = ""
    """What has to stand beside an accuracy on this data set."""


class Machine(Line, tag="machine", frozen=True, kw_only=True):
    """Where a run took place. `fingerprint` covers what must be equal for two runs to be put together."""

    name: str
    device: Device
    cpu: str
    cores: Positive
    memory_bytes: Annotated[int, Meta(ge=0, le=10**18)]
    accelerator: str | None = None
    versions: dict[str, str]
    settings: dict[str, Scalar]

    @property
    def hardware(self) -> str:
        """What computed: the accelerator, or the processor where there is none."""
        return self.accelerator or self.cpu

    @property
    def kind(self) -> str:
        """cpu, cuda or mps, whichever of several it was."""
        return self.device.partition(":")[0]

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits over every field."""
        return _digest(self)[:12]


class Sample(Line, tag="sample", frozen=True, kw_only=True):
    """One window of one metric: raw values as measured, in `unit`."""

    metric: str
    unit: str
    better: Literal["lower", "higher", "none"]
    values: list[float]
    detail: dict[str, Any] = {}
    state: dict[str, Scalar] = {}
    """What the machine did during the window: load of others, clocks, temperature, as far as it can be read."""
    disturbed: str | None = None
    """Why this window should not be trusted much; the one after it in the same round is its repetition."""

    def __post_init__(self) -> None:
        check_sample(self.metric, self.unit, self.better, self.values, self.detail, self.state)


class ArmLine(Line, tag="arm", frozen=True, kw_only=True):
    """The first line of every record."""

    format: int
    key: str
    arm: Arm
    settings: dict[str, Scalar]
    about: About


class RunLine(Line, tag="run", frozen=True, kw_only=True):
    """One start of `bench run`. `setup` holds this arm's build, first-call and warm-up times in seconds."""

    run: str
    started: str
    version: str
    commit: str | None
    seed: int
    machine: Machine
    setup: dict[str, Scalar] = {}
    fresh: bool = False
    """What earlier runs measured of this arm is superseded (`--force`)."""
    role: Role = "asked"
    """Why the arm took part: it was asked for, or came along to be compared with."""
    studies: dict[str, str] = {}
    """The studies that this run was made for, each with the hash of its question at that time (bench/claims/questions.py)."""

    def __post_init__(self) -> None:
        check_setup(self.setup)
        if not self.started[:10].count("-") == 2:
            raise ValueError(f"it was started at {self.started!r}, which is no date")
        datetime.fromisoformat(self.started)


class RoundLine(Line, tag="round", frozen=True, kw_only=True):
    """One finished round of one arm. Samples are paired across arms by run and round, never otherwise."""

    run: str
    round: Annotated[int, Meta(ge=0, le=10**9)]
    phase: Phase = "measure"
    worker: Positive = 1
    """Which process of this arm in this run, counted from 1."""
    setup: dict[str, Scalar] = {}
    """Build, first-call and warm-up times of that process, in its first round; those of the first are in the run line."""
    samples: list[Sample]
    arrays: Sidecar | None = None
    """Name of the `.npz` beside the record that holds this round's large arrays."""

    def __post_init__(self) -> None:
        check_setup(self.setup)


class EndLine(Line, tag="end", frozen=True, kw_only=True):
    """How a run ended for this arm. `short`: the time ended before the rounds or the target that were wanted."""

    run: str
    status: Status
    metrics: list[str]
    error: str | None = None
    short: bool = False
    time_budget: Annotated[float, Meta(ge=0)] | None = None
    hopeless: bool = False
    """It left the choosing of a policy early: another policy of its model was better by far."""
    target_ci: Annotated[float, Meta(ge=0)] | None = None
    """Relative half-width of the interval that was aimed at; None: a number of rounds was."""


Body = RunLine | RoundLine | EndLine
_decode_head = msgspec.json.Decoder(ArmLine).decode
_decode_body = msgspec.json.Decoder(Body).decode
_encode = msgspec.json.Encoder(order="deterministic").encode


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


def _digest(value: Any) -> str:
    return hashlib.sha256(_encode(value)).hexdigest()


def key_of(arm: Arm, settings: dict[str, Scalar]) -> str:
    """Sixteen hex digits over the arm and the settings that change what a sample means."""
    return _digest([arm, settings])[:16]


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
    head = ArmLine(format=FORMAT, key=key_of(arm, settings), arm=arm, settings=settings, about=about)
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
    return parse(path, content_of(path, limits.RECORD, lambda words: damaged(path, f"it cannot be read ({words})")))


def parse(path: Path, content: bytes) -> Record:
    """A record by its bytes; `path` is where they are from."""
    if values_in(content) > limits.VALUES:
        raise damaged(path, f"it has more than {limits.VALUES:,} values, and no record has that many")
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
                reading.add(_decode_body(_opened(line, needed=reading.record.head.format >= SEALED)))
    if reading is None:
        raise DamagedRecord(f"{path}: no whole line in it; move the file away and run again")
    return reading.record


def _at_line(path: Path, number: int) -> Callable[[str], DamagedRecord]:
    return lambda words: damaged(path, f"line {number} is damaged ({words})")


def damaged(path: Path, why: str) -> DamagedRecord:
    """The line for a record that is left out."""
    return DamagedRecord(f"{path}: {why}; restore the file or move it away, the other records are untouched")


def values_in(content: bytes) -> int:
    """At least as many as there are values in some lines of JSON, without reading them."""
    return content.count(b",") + content.count(b"[") + content.count(b"{")


def _checked_head(line: bytes) -> ArmLine:
    found = msgspec.json.decode(line)
    if isinstance(found, dict) and found.get("format", FORMAT) not in READABLE:
        raise ValueError(f"format {found['format']}, this version reads {' and '.join(map(str, READABLE))}")
    line = _opened(line, needed=isinstance(found, dict) and isinstance(found.get("format"), int) and found["format"] >= SEALED)
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
            raise ValueError(f"{sample.metric} is measured of a {known.arm} arm, and this one is a {kind} arm")
        says = (sample.unit, sample.better)
        if self.metrics.setdefault(sample.metric, says) != says:
            raise ValueError(f"{sample.metric} is in {says[0]!r} here and in {self.metrics[sample.metric][0]!r} before")
        if sample.metric == "receptive_field" and isinstance(arm, AccuracyArm):
            lacking = [name for when in ("before", "after") if (name := f"{when}_{arm.image_size}") not in sample.detail]
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


class InProcess(float):
    """A round's value that knows which process gave it, by run and number."""

    process: tuple[str, int]

    def __new__(cls, value: float, process: tuple[str, int]) -> InProcess:
        made = super().__new__(cls, value)
        made.process = process
        return made

    def __reduce__(self) -> tuple[type[InProcess], tuple[float, tuple[str, int]]]:
        """Copied and pickled whole: launchers send values from machine to machine."""
        return InProcess, (float(self), self.process)


def samples(record: Record, metric: str, phases: Iterable[str] = MEASURED) -> Iterable[tuple[RoundLine, Sample]]:
    """The samples of one metric with the rounds that they are of. Of a repeated window the last one counts."""
    for line in record.rounds:
        if line.phase in phases:
            last = {sample.metric: sample for sample in line.samples}
            if metric in last:
                yield line, last[metric]


def per_round(record: Record, metric: str, phases: Iterable[str] = MEASURED) -> dict[tuple[str, int], InProcess]:
    """One value per round as measured, the median of its window, by (run, round). Each knows its process."""
    found = samples(record, metric, phases)
    return {(line.run, line.round): InProcess(statistics.median(sample.values), (line.run, line.worker)) for line, sample in found}


def fair_per_round(record: Record, metric: str, phases: Iterable[str] = MEASURED) -> dict[tuple[str, int], InProcess]:
    """One value per round for comparing with others' of the same round: see `fair`. Each knows its process."""
    found = samples(record, metric, phases)
    return {(line.run, line.round): InProcess(fair(sample), (line.run, line.worker)) for line, sample in found}


def fair(sample: Sample) -> float:
    """What a window as a whole did, held against the share of the processors that others left to it; else its median.

    As measured where nobody else took much (the sample has no `left` then): only ratios of windows that were disturbed
    unequally change. The median of several calls is as measured too: held against the share left, ViT's latency beside others
    came out as a quarter of its own. So are bytes and joules, which others do not change.
    """
    value, left = statistics.median(sample.values), sample.state.get("left")
    if not isinstance(left, float) or len(sample.values) > 1 or sample.unit not in ("s", "image/s"):
        return value
    return value / left if sample.better == "higher" else value * left
