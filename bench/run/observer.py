"""What a run reports while it measures, what it returns, and where its time went."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.measure.messages import Failure
from bench.plan.task import Task
from bench.record.arms import Arm
from bench.record.schema import Machine, Sample


@dataclass
class Ledger:
    """Seconds by activity, and counts of rounds and windows."""

    seconds: dict[str, float] = field(default_factory=dict)
    rounds: int = 0
    """Finished rounds; all of them are on disk."""
    windows: int = 0
    disturbed: int = 0
    repeated: int = 0

    def add(self, activity: str, seconds: float) -> None:
        """Add seconds to an activity."""
        self.seconds[activity] = self.seconds.get(activity, 0.0) + seconds

    @property
    def share(self) -> float | None:
        """Share of the rounds' time that lay inside measuring windows; None before the first."""
        total = self.seconds.get("rounds")
        return self.seconds.get("windows", 0.0) / total if total else None


class Watcher(Protocol):
    """Follows the rounds."""

    def step(self, name: str, arm: str, done: int, total: int, seconds_left: float | None) -> None:
        """Step `done` of `total` began, on `arm` (for people)."""
        ...

    def figure(self, arm: Arm, sample: Sample) -> None:
        """A window of an arm was measured."""
        ...


class Observer(Watcher, Protocol):
    """Follows a whole run."""

    def planned(
        self, machine: Machine, folder: Path, tasks: list[Task], open_tasks: list[Task]
    ) -> None:
        """The run consists of `tasks`, of which `open_tasks` are still to be measured."""
        ...

    def warn(self, text: str) -> None:
        """Something may spoil the numbers."""
        ...

    def note(self, text: str) -> None:
        """Something worth knowing."""
        ...

    def failed(self, arm: Arm, failure: Failure) -> None:
        """An arm, or one of its metrics, could not be measured."""
        ...


@dataclass
class Outcome:
    """What a run did. `records` are those of every arm that took part or was finished before."""

    folder: Path
    records: list[Path]
    measured: int
    """Arms that were measured now."""
    ledger: Ledger
    left: int
    """Arms left for the next call: beyond `--slice`, or begun too late for the time of a queue."""
    failures: dict[str, str] = field(default_factory=dict)
    """Why arms failed, by label."""
    partial: dict[str, str] = field(default_factory=dict)
    """Why some metrics of an arm failed where others did not, by label."""


class Interrupted(Exception):
    """Ctrl-C: `rounds` finished rounds are on disk."""

    def __init__(self, rounds: int) -> None:
        super().__init__(rounds)
        self.rounds = rounds
