"""The messages between a run and its workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from bench.record.arms import AccuracyArm, Arm
from bench.record.schema import Scalar, Status


@dataclass(frozen=True)
class Chosen:
    """How weights are to be evaluated, in addition to the arm."""

    checkpoint: str | None = None
    """Path of the weights file to evaluate."""
    key: str | None = None
    """The entry of the file and, after a slash, the prefix of the names in it."""
    view: dict[str, Any] = field(default_factory=dict)
    """Fields of the view that the user set with flags."""
    spread: bool = False
    """Also evaluate at neighbouring crops and sizes."""


@dataclass(frozen=True)
class Job:
    """One arm and everything that its worker needs."""

    arm: Arm
    device: str
    seed: int
    threads: int
    timeout: float = 600.0
    """Seconds without a message before the worker counts as hung; compiling can take minutes."""
    memory: int | None = None
    """Bytes that the worker may allocate beyond what it starts with; None: no limit."""
    cache: str | None = None
    """Folder for the compiler's caches, of this arm only."""
    folder: str | None = None
    """The machine's results folder, where training runs store checkpoints."""
    stem: str = ""
    """File name of the arm's record without its suffix."""
    fresh: bool = False
    """Start training from scratch instead of resuming."""
    data: str | None = None
    """`--data` as the user typed it: where the images are that the arm names by content."""
    beside: int = 1
    """How many training runs share the machine, including this one."""
    chosen: Chosen = field(default_factory=Chosen)
    """How weights are to be evaluated."""
    reference: str | None = None
    """File of the float32 logits that a timed execution is compared with; None: it is not."""
    thorough: bool = False
    """Compare all of its images, as in an arm's first process."""
    check_images: int | None = None
    """The number of images to compare; None: the usual one."""


def why_none(reference: str) -> Path:
    """Return the file that says why a job's reference could not be made, next to its place."""
    return Path(f"{reference}.missing")


@dataclass(frozen=True)
class Window:
    """Request: measure one window of one metric."""

    metric: str
    seconds: float


@dataclass(frozen=True)
class Prepare:
    """Request: get ready as far as the CPU is needed; nothing runs on the device."""


@dataclass(frozen=True)
class MakeReference:
    """Request: write the float32 logits that executions of the job's model are compared with."""


@dataclass(frozen=True)
class Identify:
    """Request: the identity of the job's model; see `bench/count/identity.py`."""

    use: Literal["inference", "training"]


def images_of(arm: AccuracyArm, job: Job | None) -> str:
    """Return the data to open for an accuracy arm, as `--data` spells it."""
    return job.data if job is not None and job.data is not None else arm.data


@dataclass(frozen=True)
class Samples:
    """Answer: the raw values of a window, or as `detail` the set-up times of a worker.

    The window took `seconds`, and waking up before it `wake_s`.
    """

    values: list[float] = field(default_factory=list)
    detail: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    wake_s: float = 0.0


class Failure(Exception):
    """Answer: why an arm failed.

    `usage` marks an error that the user can correct; it ends the run and is not recorded.
    """

    def __init__(self, status: Status, error: str, usage: bool = False) -> None:
        super().__init__(status, error, usage)  # pickling needs all arguments
        self.status, self.error, self.usage = status, error, usage


@dataclass(frozen=True)
class Word:
    """Progress of a long request; also shows that the worker is alive."""

    text: str


class Worker(Protocol):
    """The worker as a run uses it; tests have implementations of their own."""

    @property
    def pid(self) -> int:
        """The process id, for reading the resources that it uses."""
        ...

    def prepare(self) -> None:
        """Begin what getting ready needs of the processor alone; returns at once."""
        ...

    def ready(self) -> dict[str, Scalar]:
        """Build and warm up; return the set-up times. Raises Failure."""
        ...

    def make_reference(self) -> None:
        """Write the job's reference file. Raises Failure."""
        ...

    def take(
        self, window: Window, heard: Callable[[str], None], glance: Callable[[], None] = ...
    ) -> Samples:
        """Measure one window of one metric. Raises Failure.

        `heard` receives the progress texts; `glance` is called repeatedly meanwhile.
        """
        ...

    def close(self) -> None:
        """End the process, even in the middle of a request."""
        ...


def look_away() -> None:
    """Do nothing: the `glance` of callers that have nothing to watch."""
