"""What changed between two sets of records: arm by arm, paired where rounds allow it.

Each side is a results folder, a machine's folder, or one of them at a commit (`results@1a2b3c`). Arms are the same where
model, policy, batch, sizes and so on are; how they were measured has to be the same as well, or they are refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from bench.errors import UsageError
from bench.lane import label
from bench.paired import apart, paired_ratio
from bench.reading import read_below
from bench.record import MEASURED, Arm, CountArm, DamagedRecord, ProbeArm, Record, fair_per_round
from bench.stats import ROUNDS_FOR_INTERVAL, Effect, Estimate, effect_of_ratio, holm

At = tuple[str, int]
Outcome = Literal["better", "worse", "no change", "too few rounds"]


@dataclass(frozen=True)
class Change:
    """One metric of one arm: the ratio of the second side to the first, how sure, and what it means."""

    name: str
    metric: str
    better: str
    ratio: Estimate
    paired: bool
    p: float | None
    outcome: Outcome

    @property
    def loss(self) -> float:
        """By which share the second side is worse; negative where it is better."""
        return self.ratio.value - 1 if self.better == "lower" else 1 / self.ratio.value - 1


@dataclass(frozen=True)
class Comparison:
    """All changes, and what could not be compared, by name and reason."""

    changes: list[Change]
    refused: list[str]
    damaged: list[DamagedRecord] = field(default_factory=list)

    def regressions(self, share: float) -> list[Change]:
        """What got worse by more than a share, beyond chance."""
        return [one for one in self.changes if one.outcome == "worse" and one.loss > share]


def compare(left: str, right: str) -> Comparison:
    """Two sides, such as two folders; UsageError where a side has no records or they have no arm in common."""
    read = [records_of(text) for text in (left, right)]
    damaged = list({str(error): error for _, errors in read for error in errors}.values())
    sides = [_arms(text, records) for text, (records, _) in zip((left, right), read, strict=True)]
    refused, found = [], []
    for arm in sides[0].keys() & sides[1].keys():
        one, other = sides[0][arm], sides[1][arm]
        if reason := _incomparable(one, other):
            refused.append(f"{label(arm)}: {reason}")
            continue
        found += list(_changes(arm, one, other))
    if not found:
        why = f": {'; '.join(sorted(refused)[:3])}" if refused else ": no arm with rounds is on both sides"
        why += f"; left out: {damaged[0]}" if damaged else ""
        raise UsageError(f"compare: {left} and {right} have nothing to compare{why}")
    return Comparison(_judged(sorted(found, key=lambda change: (change[0], change[1]))), sorted(refused), damaged)


def records_of(text: str) -> tuple[list[Record], list[DamagedRecord]]:
    """The records of one side, and those that cannot be read."""
    path, _, commit = text.partition("@") if not Path(text).exists() else (text, "", "")
    records, damaged = read_below(Path(path))
    if not records:
        nothing = UsageError(f"compare: no records below {path}; give a results folder, a machine's folder, or FOLDER@COMMIT")
        raise damaged[0] if damaged else nothing
    return [kept for record in records if (kept := _at(record, commit))], damaged


def _at(record: Record, commit: str) -> Record | None:
    """The runs of one commit, where one was asked for."""
    runs = [run for run in record.runs if not commit or (run.commit or "").startswith(commit)]
    names = {run.run for run in runs}
    lines = [line for line in record.rounds if line.run in names]
    if not runs:
        return None
    return Record(path=record.path, head=record.head, runs=runs, rounds=lines, ends=[end for end in record.ends if end.run in names])


def _arms(text: str, records: list[Record]) -> dict[Arm, Record]:
    """One record per timed arm; UsageError where a side has an arm of several machines."""
    found: dict[Arm, Record] = {}
    for record in records:
        if isinstance(record.arm, (CountArm, ProbeArm)) or not hasattr(record.arm, "batch_size"):
            continue
        arm = msgspec.structs.replace(record.arm, source=None)
        if arm in found and found[arm].runs[-1].machine.name != record.runs[-1].machine.name:
            names = sorted({one.runs[-1].machine.name for one in records if one.runs})
            raise UsageError(f"compare: {text} holds several machines ({', '.join(names)}); name one of their folders")
        if arm not in found or found[arm].runs[-1].started < record.runs[-1].started:
            found[arm] = record
    if not records:
        raise UsageError(f"compare: {text} has no run at that commit")
    return found


def _incomparable(one: Record, other: Record) -> str | None:
    """The settings in which two records differ, in words."""
    mine, theirs = one.head.settings, other.head.settings
    names = [name for name in sorted(mine.keys() | theirs.keys()) if mine.get(name) != theirs.get(name)]
    return f"measured differently: {', '.join(f'{name} {mine.get(name)} and {theirs.get(name)}' for name in names)}" if names else None


Found = tuple[str, str, str, Estimate, Effect | None, bool]


def _changes(arm: Arm, one: Record, other: Record) -> Iterator[Found]:
    """Per metric that both have: name, metric, direction, ratio, effect, paired."""
    metrics = {sample.metric: sample for line in one.rounds for sample in line.samples}
    for name, sample in sorted(metrics.items()):
        left, right = (fair_per_round(record, name, MEASURED) for record in (one, other))
        if not left or not right or sample.better == "none" or min((*left.values(), *right.values())) <= 0:
            continue
        ratio, effect, paired = _ratio(left, right)
        yield label(arm) + f" {getattr(arm, 'image_size', '')} px", name, sample.better, ratio, effect, paired


def _ratio(left: Mapping[At, float], right: Mapping[At, float]) -> tuple[Estimate, Effect | None, bool]:
    """Second over first: by common rounds where there are enough, else from the two sets of rounds, with a wider interval."""
    if len(left.keys() & right.keys()) >= ROUNDS_FOR_INTERVAL:
        found = paired_ratio(right, left)
        assert found is not None
        return found, effect_of_ratio(found), True
    effect = apart(right, left)
    if effect is None:
        logs = [[math.log(value) for value in side.values()] for side in (right, left)]
        return Estimate(math.exp(sum(logs[0]) / len(logs[0]) - sum(logs[1]) / len(logs[1]))), None, False
    return effect.as_ratio, effect, False


def _judged(found: list[Found]) -> list[Change]:
    """With Holm's correction over all of them."""
    corrected = holm({number: effect.p(0.0) for number, (*_, effect, _) in enumerate(found) if effect is not None})
    changes = []
    for number, (name, metric, better, ratio, effect, paired) in enumerate(found):
        p = corrected.get(number)
        outcome: Outcome = "too few rounds"
        if effect is not None and p is not None:
            rose = effect.value > 0
            outcome = "no change" if p >= 0.05 else "better" if rose == (better == "higher") else "worse"
        changes.append(Change(name, metric, better, ratio, paired, p, outcome))
    return changes
