"""The record: one append-only JSON-lines file per arm.

A file starts with one `arm` line (format, key, arm, settings). Then, for each run, it has a `run`
line (machine, versions, seed), a `round` line per finished round (raw samples with unit and
direction), and an `end` line (how the run ended; several if that differs between metrics, which
each line names). A run that was killed has no `end` line, but its rounds count.

A finished round is appended and synced at once, so a kill loses at most the round in progress. A
torn last line is void: it is reported on reading and marked before the next append. Any other
damage is a `DamagedRecord` that names file and line. Lines are only ever added at the end, each in
one step, so that several programs may write to a file at once.

Format history
    1   first format
    2   speed arms have a mode; probes; windows have what the machine did during them and whether
        they were repeated; rounds name the process that measured them; runs say why an arm took
        part
    3   accuracy arms say how they were tuned, stretched and executed; a policy may leave a choice
        early
    4   runs name the studies that they were made for; format 3 is still read
    5   every line ends with a checksum (`crc`: CRC-32 of the line without it), and a torn line is
        ended by the character CAN instead of being cut off; formats 3 and 4 are still read
    6   an arm may end as `wrong`, and its rounds of that run count nowhere; processes of timed arms
        say how far their logits agree with float32 eager execution; formats 3 to 5 are still read
    7   a line may give the arm's model a name for reports; formats 3 to 6 are still read
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bench.devices import kind_of
from bench.files import limits
from bench.record.arms import Arm, Device, Line, Positive, _digest
from bench.record.metric_units import Scalar as Scalar
from bench.record.metric_units import check_sample, check_settings, check_setup

FORMAT = 7
READABLE = (3, 4, 5, 6, 7)
"""The formats that can be read: 4 to 7 only added to 3."""

Sidecar = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\.npz$")]
Status = Literal["ok", "oom", "failed", "timeout", "unsupported", "diverged", "wrong"]
Phase = Literal["measure", "choose", "confirm"]
Role = Literal["asked", "reference", "sentinel", "probe"]
DisplayName = Annotated[str, Meta(min_length=1, max_length=limits.NAME)]


class About(Line, tag="about", frozen=True, kw_only=True):
    """What the report shows of a model and cannot ask torch for: its family and published name."""

    family: str
    timm_name: str | None = None
    summary: str = ""
    caveat: str = ""
    """A remark that every accuracy on this data set needs."""


class Machine(Line, tag="machine", frozen=True, kw_only=True):
    """The machine of a run, in one state of its software.

    Runs are only combined if their `fingerprint` is equal.
    """

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
        """The accelerator, or the processor if there is none."""
        return self.accelerator or self.cpu

    @property
    def kind(self) -> str:
        """The kind of device, without its number: cpu, cuda or mps."""
        return kind_of(self.device).name

    @property
    def fingerprint(self) -> str:
        """12 hex digits over every field."""
        return _digest(self)[:12]


class Sample(Line, tag="sample", frozen=True, kw_only=True):
    """One window of one metric: raw values as measured, in `unit`."""

    metric: str
    unit: str
    better: Literal["lower", "higher", "none"]
    values: list[float]
    detail: dict[str, Any] = msgspec.field(default_factory=dict)
    state: dict[str, Scalar] = msgspec.field(default_factory=dict)
    """What the machine did during the window, as far as it can be read: load of other programs,
    clocks, temperature."""
    disturbed: str | None = None
    """Why this window is doubtful; the sample after it in the same round is its repetition."""

    def __post_init__(self) -> None:
        check_sample(self.metric, self.unit, self.better, self.values, self.detail, self.state)


class ArmLine(Line, tag="arm", frozen=True, kw_only=True):
    """The first line of every record."""

    format: int
    key: str
    arm: Arm
    settings: dict[str, Scalar]
    about: About

    def __post_init__(self) -> None:
        check_settings(self.settings)


class RunLine(Line, tag="run", frozen=True, kw_only=True):
    """One start of `bench run`; `setup` has the arm's build, first-call and warm-up seconds."""

    run: str
    started: str
    version: str
    commit: str | None
    seed: int
    machine: Machine
    setup: dict[str, Scalar] = msgspec.field(default_factory=dict)
    fresh: bool = False
    """True if the run supersedes earlier runs of this arm (`--force`)."""
    role: Role = "asked"
    """Why the arm took part: it was asked for, or is there to compare with."""
    studies: dict[str, str] = msgspec.field(default_factory=dict)
    """The studies that the run was made for, each with the hash of its question then
    (bench/claims/questions.py)."""

    def __post_init__(self) -> None:
        check_setup(self.setup)
        if not self.started[:10].count("-") == 2:
            raise ValueError(f"it was started at {self.started!r}, which is not a date")
        datetime.fromisoformat(self.started)


class RoundLine(Line, tag="round", frozen=True, kw_only=True):
    """One finished round of one arm. Samples of arms are paired by run and round only."""

    run: str
    round: Annotated[int, Meta(ge=0, le=10**9)]
    phase: Phase = "measure"
    worker: Positive = 1
    """The number of the process of this arm in this run, from 1."""
    setup: dict[str, Scalar] = msgspec.field(default_factory=dict)
    """Build, first-call and warm-up seconds of the process, in its first round; those of the first
    process are in the run line."""
    samples: list[Sample]
    arrays: Sidecar | None = None
    """Name of the `.npz` next to the record that contains this round's large arrays."""

    def __post_init__(self) -> None:
        check_setup(self.setup)


class EndLine(Line, tag="end", frozen=True, kw_only=True):
    """How a run ended for this arm; `short` is true if it ran out of time for what was wanted."""

    run: str
    status: Status
    metrics: list[str]
    error: str | None = None
    short: bool = False
    time_budget: Annotated[float, Meta(ge=0)] | None = None
    hopeless: bool = False
    """True if the arm was dropped early because another policy of its model was far better."""
    target_ci: Annotated[float, Meta(ge=0)] | None = None
    """The relative half-width of the interval to reach; None if a number of rounds was given."""


class NameLine(Line, tag="name", frozen=True, kw_only=True):
    """The name under which reports show the arm's model; of several lines the last one counts.

    The arm keeps the model's own name, by which it is measured. A line with that takes a given name
    away.
    """

    name: DisplayName
    given: str
    """When it was given, in ISO format."""

    def __post_init__(self) -> None:
        datetime.fromisoformat(self.given)
