"""Which part of a run this program does: everything, one shard of several, or the arms that somebody names.

What belongs to which shard is a function of the arms' keys alone, so that shards agree without a word. Timed arms of one
run stay together: ratios between machines mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.plan.task import Task
from bench.record.arms import SpeedArm, key_of

Part = Callable[[list[Task]], list[Task]]
"""From the arms that are named at once, those that this program measures."""


def everything(tasks: list[Task]) -> list[Task]:
    """All of them."""
    return tasks


@dataclass(frozen=True)
class Shard:
    """The `number`-th part of `of`, counted from 1."""

    number: int
    of: int

    def __call__(self, tasks: list[Task]) -> list[Task]:
        """Counts and accuracies by their own keys; all timed arms by the smallest of theirs."""
        keys = [key_of(task.arm, task.settings) for task in tasks]
        timed = [
            key for key, task in zip(keys, tasks, strict=True) if isinstance(task.arm, SpeedArm)
        ]
        home = min(timed, default="")
        return [
            task
            for key, task in zip(keys, tasks, strict=True)
            if self._has(home if isinstance(task.arm, SpeedArm) else key)
        ]

    def _has(self, key: str) -> bool:
        return int(key, 16) % self.of == self.number - 1


@dataclass(frozen=True)
class Only:
    """The arms of these keys."""

    keys: frozenset[str]

    def __call__(self, tasks: list[Task]) -> list[Task]:
        return [task for task in tasks if key_of(task.arm, task.settings) in self.keys]


def part_of(text: str | None) -> Part:
    """What a run with `--shard i/n` measures; the text is checked where flags are."""
    if text is None:
        return everything
    number, _, of = text.partition("/")
    return Shard(int(number), int(of))
