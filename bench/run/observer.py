"""What follows a run: its steps, figures, outcomes and where the time went."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.measure.messages import Failure
from bench.plan.task import Task
from bench.record import arms
from bench.record.arms import Arm
from bench.record.schema import Machine, Sample


@dataclass
class Ledger:
    """Where the time went, in seconds by what it was spent on, and what happened to windows."""

    seconds: dict[str, float] = field(default_factory=dict)
    rounds: int = 0
    """Finished ones, on disk."""
    windows: int = 0
    disturbed: int = 0
    repeated: int = 0

    def add(self, what: str, seconds: float) -> None:
        """Book seconds."""
        self.seconds[what] = self.seconds.get(what, 0.0) + seconds

    @property
    def share(self) -> float | None:
        """Of the time after set-up, how much lay inside measuring windows."""
        total = self.seconds.get("rounds")
        return self.seconds.get("windows", 0.0) / total if total else None


class Watcher(Protocol):
    """Who follows the rounds."""

    def step(
        self, name: str, arm: str, done: int, total: int, seconds_left: float | None
    ) -> None: ...

    def figure(self, arm: Arm, sample: Sample) -> None: ...


class Observer(Watcher, Protocol):
    """What a run tells while it goes on, its rounds included."""

    def planned(
        self, machine: Machine, folder: Path, tasks: list[Task], open_tasks: list[Task]
    ) -> None: ...

    def warn(self, text: str) -> None: ...

    def note(self, text: str) -> None: ...

    def failed(self, arm: arms.Arm, failure: Failure) -> None: ...


@dataclass
class Outcome:
    """What a run did. `records` are those of every arm that took part or was finished before."""

    folder: Path
    records: list[Path]
    measured: int
    ledger: Ledger
    left: int
    """Timed arms that wait for the next call of a run in slices."""
    failures: dict[str, str] = field(default_factory=dict)
    partial: dict[str, str] = field(default_factory=dict)
    """Reasons why some metrics of an arm failed where others did not."""


class Interrupted(Exception):
    """Ctrl-C: `rounds` finished rounds are on disk."""

    def __init__(self, rounds: int) -> None:
        super().__init__(rounds)
        self.rounds = rounds
