"""The part of a run that one program measures: everything, a shard, or arms given by their keys.

Which shard an arm belongs to follows from the arms' keys alone, so shards need no communication.
All timed arms of a run are in the same shard, because ratios between machines mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.plan.task import Task
from bench.record.arms import SpeedArm, key_of

Part = Callable[[list[Task]], list[Task]]
"""Returns those of the arms named at once that this program measures."""


def everything(tasks: list[Task]) -> list[Task]:
    """Return all tasks."""
    return tasks


@dataclass(frozen=True)
class Shard:
    """The `number`-th part of `of`, counted from 1."""

    number: int
    of: int

    def __call__(self, tasks: list[Task]) -> list[Task]:
        """Return the tasks of this shard: timed ones by the smallest of their keys, else by key."""
        timed = [_key(task) for task in tasks if isinstance(task.arm, SpeedArm)]
        first = min(timed, default="")
        mine = []
        for task in tasks:
            if self._has(first if isinstance(task.arm, SpeedArm) else _key(task)):
                mine.append(task)
        return mine

    def _has(self, key: str) -> bool:
        return int(key, 16) % self.of == self.number - 1


@dataclass(frozen=True)
class Only:
    """The arms with these keys."""

    keys: frozenset[str]

    def __call__(self, tasks: list[Task]) -> list[Task]:
        return [task for task in tasks if _key(task) in self.keys]


def _key(task: Task) -> str:
    return key_of(task.arm, task.settings)


def part_of(text: str | None) -> Part:
    """Return the part of a run with `--shard i/n`; its text was checked with the flags."""
    if text is None:
        return everything
    number, _, of = text.partition("/")
    return Shard(int(number), int(of))
