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

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bench.record.arms import Arm, Device, Line, Positive, _digest
from bench.record.metric_units import Scalar as Scalar
from bench.record.metric_units import check_sample, check_setup

FORMAT = 5
READABLE = (3, 4, 5)
"""Formats 4 and 5 only add."""

Sidecar = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\.npz$")]
Status = Literal["ok", "oom", "failed", "timeout", "unsupported", "diverged"]
Phase = Literal["measure", "choose", "confirm"]
Role = Literal["asked", "reference", "sentinel", "probe"]


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
    detail: dict[str, Any] = msgspec.field(default_factory=dict)
    state: dict[str, Scalar] = msgspec.field(default_factory=dict)
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
    setup: dict[str, Scalar] = msgspec.field(default_factory=dict)
    fresh: bool = False
    """What earlier runs measured of this arm is superseded (`--force`)."""
    role: Role = "asked"
    """Why the arm took part: it was asked for, or came along to be compared with."""
    studies: dict[str, str] = msgspec.field(default_factory=dict)
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
    setup: dict[str, Scalar] = msgspec.field(default_factory=dict)
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
