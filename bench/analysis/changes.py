"""What changed between two sets of records, arm by arm, beyond what another session changes by itself.

Each side is a results folder, a machine's folder, or one of them at a commit (`results@1a2b3c`). Arms are the same where
model, policy, batch, sizes and so on are; how they were measured has to be the same as well, or they are refused by name.

A speed is compared as its ratio to its own run's reference arm: the same program is a few per cent faster in one session than
in the next, and what all arms have in common drops out. What does not, the A/A pairs show: in every run the logarithm of
their ratio has to be 0, so that its mean square is what a session adds to such a ratio, with as many degrees of freedom as
there are runs (bench/analysis/sessions.py). Without a reference, or an A/A pair on both sides, nobody knows whether a speed changed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from bench.analysis.sessions import Sessions, pairs_of, sessions
from bench.errors import UsageError
from bench.record.arms import Arm, SpeedArm
from bench.record.reading import read_below
from bench.record.store import DamagedRecord, Record
from bench.record.values import MEASURED, InProcess, fair_per_round
from bench.stats.intervals import ALPHA, Effect, Estimate, holm, holm_levels
from bench.stats.paired import apart, effect_of, sum_of
from bench.stats.reference import SENTINEL, reference_model

At = tuple[str, int]
Outcome = Literal["better", "worse", "no change", "not judged"]
TIMED_UNITS = ("s", "image/s", "J")
"""What sessions change: bytes and counts are compared as they are."""


@dataclass(frozen=True)
class Change:
    """One metric of one arm: the ratio of the second side to the first, how sure, and what it means.

    The interval is at the level that Holm's correction holds this line against: it contains 1 exactly where p is not below
    0.05. `reason`: why there is no outcome; `against`: the reference that the ratio is normalised by.
    """

    name: str
    metric: str
    better: str
    ratio: Estimate
    p: float | None = None
    outcome: Outcome = "not judged"
    reason: str = ""
    against: str = ""

    @property
    def loss(self) -> float:
        """By which share of the first side the second is worse; negative where it is better."""
        return self.ratio.value - 1 if self.better == "lower" else 1 - self.ratio.value


@dataclass(frozen=True)
class Comparison:
    """All changes, what sessions differ by, and what could not be compared, by name and reason."""

    changes: list[Change]
    refused: list[str]
    sessions: Sessions | None = None
    resolves: float | None = None
    """The smallest change that is told apart in most lines, as a share; None where no line has an interval."""
    damaged: list[DamagedRecord] = field(default_factory=list)

    def regressions(self, share: float) -> list[Change]:
        """What got worse by more than a share, beyond chance."""
        return [one for one in self.changes if one.outcome == "worse" and one.loss > share]


def compare(left: str, right: str) -> Comparison:
    """Two sides, such as two folders; UsageError where a side has no records or they have no arm in common."""
    read = [records_of(text) for text in (left, right)]
    damaged = list({str(error): error for _, errors in read for error in errors}.values())
    sides = [_arms(text, records) for text, (records, _) in zip((left, right), read, strict=True)]
    known = sessions(*(pairs_of(list(side.values())) for side in sides))
    asked = [{arm: record for arm, record in side.items() if _was_asked(record)} for side in sides]
    refused: list[str] = []
    found: list[_Line] = []
    for arm in asked[0].keys() & asked[1].keys():
        one, other = asked[0][arm], asked[1][arm]
        if reason := _incomparable(one, other):
            refused.append(f"{arm.label}: {reason}")
            continue
        found += list(_lines(arm, (sides[0], sides[1]), known))
    if not found:
        why = (
            f": {'; '.join(sorted(refused)[:3])}"
            if refused
            else ": no arm with rounds is on both sides"
        )
        why += f"; left out: {damaged[0]}" if damaged else ""
        raise UsageError(f"compare: {left} and {right} have nothing to compare{why}")
    return judged(
        sorted(found, key=lambda line: (line.change.name, line.change.metric)),
        known,
        sorted(refused),
        damaged,
    )


def records_of(text: str) -> tuple[list[Record], list[DamagedRecord]]:
    """The records of one side, and those that cannot be read."""
    path, _, commit = text.partition("@") if not Path(text).exists() else (text, "", "")
    records, damaged = read_below(Path(path))
    if not records:
        nothing = UsageError(
            f"compare: no records below {path}; give a results folder, a machine's folder, or FOLDER@COMMIT"
        )
        raise damaged[0] if damaged else nothing
    return [kept for record in records if (kept := _at(record, commit))], damaged


def _at(record: Record, commit: str) -> Record | None:
    """The runs of one commit, where one was asked for."""
    runs = [run for run in record.runs if not commit or (run.commit or "").startswith(commit)]
    names = {run.run for run in runs}
    lines = [line for line in record.rounds if line.run in names]
    if not runs:
        return None
    return Record(
        path=record.path,
        head=record.head,
        runs=runs,
        rounds=lines,
        ends=[end for end in record.ends if end.run in names],
    )


def _arms(text: str, records: list[Record]) -> dict[Arm, Record]:
    """One record per timed arm; UsageError where a side has an arm of several machines."""
    found: dict[Arm, Record] = {}
    for record in records:
        if not isinstance(record.arm, SpeedArm):
            continue
        arm = record.arm.without_source()
        if arm in found and found[arm].runs[-1].machine.name != record.runs[-1].machine.name:
            names = sorted({one.runs[-1].machine.name for one in records if one.runs})
            raise UsageError(
                f"compare: {text} holds several machines ({', '.join(names)}); name one of their folders"
            )
        if arm not in found or found[arm].runs[-1].started < record.runs[-1].started:
            found[arm] = record
    if not records:
        raise UsageError(f"compare: {text} has no run at that commit")
    return found


def _incomparable(one: Record, other: Record) -> str | None:
    """The settings in which two records differ, in words."""
    mine, theirs = one.head.settings, other.head.settings
    names = [
        name for name in sorted(mine.keys() | theirs.keys()) if mine.get(name) != theirs.get(name)
    ]
    return (
        f"measured differently: {', '.join(f'{name} {mine.get(name)} and {theirs.get(name)}' for name in names)}"
        if names
        else None
    )


def _was_asked(record: Record) -> bool:
    return any(run.role in ("asked", "reference") for run in record.runs)


@dataclass(frozen=True)
class _Line:
    """A change whose outcome is not known yet; without an effect it will have none."""

    change: Change
    effect: Effect | None


def _lines(
    arm: Arm, sides: tuple[dict[Arm, Record], dict[Arm, Record]], known: Sessions | None
) -> Iterator[_Line]:
    """Per metric that both sides have of an arm."""
    name = arm.label + f" {getattr(arm, 'image_size', '')} px"
    metrics = {sample.metric: sample for line in sides[0][arm].rounds for sample in line.samples}
    for metric, sample in sorted(metrics.items()):
        each = [_rounds(side, arm, metric) for side in sides]
        if not all(each) or sample.better == "none":
            continue
        if sample.unit not in TIMED_UNITS:
            yield _plain(Change(name, metric, sample.better, _raw(*each)), *each)
        else:
            yield _normalised(Change(name, metric, sample.better, _raw(*each)), arm, sides, known)


def _rounds(side: Mapping[Arm, Record], arm: Arm, metric: str) -> dict[At, InProcess]:
    """One value per round; empty where a value is none that has a logarithm."""
    found = fair_per_round(side[arm], metric, MEASURED) if arm in side else {}
    return found if found and min(found.values()) > 0 else {}


def _raw(left: Mapping[At, float], right: Mapping[At, float]) -> Estimate:
    """Second over first, whatever else differed between the two."""
    before, after = (sum_of([(1.0, side)]) or 0.0 for side in (left, right))
    return Estimate(math.exp(after - before), n=len(left) + len(right))


def _plain(change: Change, left: Mapping[At, float], right: Mapping[At, float]) -> _Line:
    """What no session changes: each side is as sure as its rounds and processes make it."""
    effect = apart(right, left)
    return _Line(
        change if effect else replace(change, reason="too few rounds or processes"), effect
    )


def _normalised(
    change: Change,
    arm: Arm,
    sides: tuple[dict[Arm, Record], dict[Arm, Record]],
    known: Sessions | None,
) -> _Line:
    """A speed against its own run's reference, with what sessions add to such a ratio."""
    reference = _reference(arm, sides, change.metric)
    if reference is None:
        return _Line(replace(change, reason="the reference, or without one: raw ratio"), None)
    each = [
        _effect(_rounds(side, arm, change.metric), _rounds(side, reference, change.metric))
        for side in sides
    ]
    if each[0] is None or each[1] is None:
        return _Line(replace(change, reason="too few rounds or processes: raw ratio"), None)
    if known is None:
        return _Line(replace(change, reason="no A/A pair on both sides: raw ratio"), None)
    return _Line(replace(change, against=reference.model), known.added(each[0], each[1]))


def _effect(mine: Mapping[At, float], theirs: Mapping[At, float]) -> Effect | None:
    return effect_of([(1.0, mine), (-1.0, theirs)])


def _reference(
    arm: Arm, sides: tuple[dict[Arm, Record], dict[Arm, Record]], metric: str
) -> Arm | None:
    """The arm that both runs can hold this one against: of those that were asked for, else the first of the A/A pair."""
    there = {
        one: record
        for one, record in sides[0].items()
        if one.comparable_with(arm)
        and all(_rounds(side, one, metric) for side in sides)
        and not _incomparable(record, sides[1][one])
    }
    asked = {one.model: one for one, record in there.items() if _was_asked(record)}
    named = reference_model((one.model, there[one].head.about.family) for one in asked.values())
    if asked[named] != arm:
        return asked[named]
    return next((one for one in there if one.model == SENTINEL[0] and one != arm), None)


def judged(
    lines: list[_Line], known: Sessions | None, refused: list[str], damaged: list[DamagedRecord]
) -> Comparison:
    """Outcomes with Holm's correction over all lines that have an effect; intervals at the level of that correction."""
    raw = {
        number: line.effect.p(0.0) for number, line in enumerate(lines) if line.effect is not None
    }
    corrected, levels = holm(raw), holm_levels(raw, ALPHA)
    changes = []
    widths = []
    for number, (change, effect) in enumerate((line.change, line.effect) for line in lines):
        if effect is None:
            changes.append(change)
            continue
        ratio = effect.as_ratio_at(levels[number])
        widths.append(math.expm1(effect.half_width(ALPHA / len(raw))))
        better = (effect.value > 0) == (change.better == "higher")
        outcome: Outcome = (
            "no change" if corrected[number] >= ALPHA else "better" if better else "worse"
        )
        changes.append(replace(change, ratio=ratio, p=corrected[number], outcome=outcome))
    return Comparison(
        changes, refused, known, sorted(widths)[len(widths) // 2] if widths else None, damaged
    )
