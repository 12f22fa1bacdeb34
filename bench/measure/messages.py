"""What passes between a run and its workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from bench.record.arms import AccuracyArm, Arm
from bench.record.schema import Scalar, Status


@dataclass(frozen=True)
class Chosen:
    """What was asked of evaluating weights, beside the arm."""

    checkpoint: str | None = None
    """File of weights to evaluate."""
    key: str | None = None
    """The entry of the file, and behind a slash what stands in front of the names in it."""
    view: dict[str, Any] = field(default_factory=dict)
    """Fields of the view that were given as flags."""
    spread: bool = False
    """Evaluate at neighbouring crops and sizes as well."""


@dataclass(frozen=True)
class Job:
    """What a worker holds."""

    arm: Arm
    device: str
    seed: int
    threads: int
    timeout: float = 600.0
    """Seconds without a word after which the worker counts as hung; compiling a large model can take minutes."""
    memory: int | None = None
    """Bytes that the worker may take beyond what it starts with; None: all there are."""
    cache: str | None = None
    """Folder of the compiler's caches, for this arm alone."""
    folder: str | None = None
    """The machine's folder of results, where a training keeps its checkpoints."""
    stem: str = ""
    """Name of the arm's record without its ending."""
    fresh: bool = False
    """What an earlier training left is not gone on with."""
    data: str | None = None
    """`--data` as it was given: where the images lie that the arm has by another name."""
    beside: int = 1
    """How many trainings share the machine, this one included."""
    chosen: Chosen = field(default_factory=Chosen)
    """How weights are evaluated."""


@dataclass(frozen=True)
class Window:
    """Take one window of one metric."""

    metric: str
    seconds: float


@dataclass(frozen=True)
class Identify:
    """Say what the job's model is; see `bench/count/identity.py`."""

    use: Literal["inference", "training"]


def images_of(arm: AccuracyArm, job: Job | None) -> str:
    """What to open for an accuracy arm, as `--data` has it."""
    return job.data if job is not None and job.data is not None else arm.data


@dataclass(frozen=True)
class Samples:
    """Raw values of a window, or the set-up times of a worker that is ready.

    `seconds` is what the window took, `wake_s` what waking up before it took.
    """

    values: list[float] = field(default_factory=list)
    detail: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    wake_s: float = 0.0


class Failure(Exception):
    """How an arm failed. `usage` marks what the user can mend: it ends the run instead of becoming a record."""

    def __init__(self, status: Status, error: str, usage: bool = False) -> None:
        super().__init__(
            status, error, usage
        )  # all of them: the exception is pickled by its arguments
        self.status, self.error, self.usage = status, error, usage


@dataclass(frozen=True)
class Word:
    """A sign of life in the middle of something long."""

    text: str


class Worker(Protocol):
    """What the runner needs of a worker; tests bring their own."""

    @property
    def pid(self) -> int:
        """The process, for watching what it uses."""
        ...

    def ready(self) -> dict[str, Scalar]:
        """Build and warm up; returns the set-up times. Raises Failure."""
        ...

    def take(
        self, window: Window, heard: Callable[[str], None], glance: Callable[[], None] = ...
    ) -> Samples:
        """One window of one metric; `heard` gets the words in between, `glance` is called now and then. Raises Failure."""
        ...

    def close(self) -> None:
        """End the process, whatever it is doing."""
        ...


def look_away() -> None:
    """What is done between two glances where nobody wants any."""
