"""Compare two sets of records: what changed by more than two sessions differ anyway.

A side is a results folder, a machine's folder, or either at a commit (`results@1a2b3c`). Arms are
matched by model, policy, batch size, image size and so on; those measured under different settings
are refused by name.

A speed is compared as its ratio to the reference of its own run. One program is a few per cent
faster in one session than in the next, and everything that all arms have in common cancels in that
ratio. The A/A checks show the rest: the logarithm of their ratio should be 0 in every run, so its
mean square is the variance that a session adds to such a ratio, with as many degrees of freedom as
there are runs (bench/analysis/sessions.py). Without a reference, or without an A/A check on both
sides, it is unknown whether a speed changed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

from bench.analysis.sessions import Sessions, pairs_of, sessions
from bench.analysis.summary import was_asked
from bench.errors import UsageError
from bench.record.arms import Arm, At, SpeedArm
from bench.record.reading import read_below
from bench.record.schema import Sample
from bench.record.store import DamagedRecord, Record
from bench.record.values import MEASURED, InProcess, fair_per_round
from bench.stats.intervals import ALPHA, Effect, Estimate, holm, holm_levels
from bench.stats.paired import apart, effect_of, sum_of
from bench.stats.reference import SENTINEL, reference_model

ChangeOutcome = Literal["better", "worse", "no change", "not judged"]
Side = dict[Arm, Record]
"""The newest record of every timed arm of one side."""
TIMED_UNITS = ("s", "image/s", "J")
"""Units of values that differ between sessions; bytes and counts are compared as they are."""
TOO_FEW = "too few rounds or processes"


@dataclass(frozen=True)
class Change:
    """One metric of one arm: the ratio of the second side to the first, and what it means.

    The interval of the ratio is at the level at which Holm's correction tests this line: it
    contains 1 if and only if `p` is not below 0.05. `reason` says why there is no outcome;
    `against` is the reference by which both speeds were divided.
    """

    name: str
    metric: str
    better: str
    ratio: Estimate
    p: float | None = None
    outcome: ChangeOutcome = "not judged"
    reason: str = ""
    against: str = ""

    @property
    def loss(self) -> float:
        """By which share of the first side the second is worse; negative if it is better."""
        return self.ratio.value - 1 if self.better == "lower" else 1 - self.ratio.value


@dataclass(frozen=True)
class Comparison:
    """All changes; `refused` has what could not be compared, by name and reason."""

    changes: list[Change]
    refused: list[str]
    sessions: Sessions | None = None
    """The difference between sessions; None without an A/A check on both sides."""
    resolves: float | None = None
    """The smallest change that most lines resolve, as a share; None if no line has an interval."""
    damaged: list[DamagedRecord] = field(default_factory=list)

    def regressions(self, share: float) -> list[Change]:
        """Return the changes for the worse by more than a share, beyond chance."""
        return [one for one in self.changes if one.outcome == "worse" and one.loss > share]


class Sides(NamedTuple):
    """The records of both sides."""

    before: Side
    after: Side


@dataclass(frozen=True)
class UnjudgedChange:
    """A change without an outcome yet. Without an effect it will not get one."""

    change: Change
    effect: Effect | None


def compare(left: str, right: str) -> Comparison:
    """Return the changes from one side to another.

    Raises UsageError if a side has no records, or if no arm can be compared.
    """
    (left_records, left_damaged), (right_records, right_damaged) = map(records_of, (left, right))
    damaged = list({str(error): error for error in (*left_damaged, *right_damaged)}.values())
    sides = Sides(_side(left, left_records), _side(right, right_records))
    before, after = (pairs_of(list(side.values())) for side in sides)
    known = sessions(before, after)
    refused: list[str] = []
    found: list[UnjudgedChange] = []
    for arm in sides.before:
        if not _was_asked_twice(arm, sides):
            continue
        difference = _incomparable(arm, sides)
        if difference:
            refused.append(f"{arm.label}: {difference}")
        else:
            found += _unjudged(arm, sides, known)
    refused.sort()
    if not found:
        raise UsageError(_nothing(left, right, refused, damaged))
    found.sort(key=lambda line: (line.change.name, line.change.metric))
    return judged(found, known, refused, damaged)


def _nothing(
    left: str, right: str, refused: Sequence[str], damaged: Sequence[DamagedRecord]
) -> str:
    """Return the message for two sides without an arm to compare."""
    why = "; ".join(refused[:3]) or "no arm with rounds is on both sides"
    left_out = f"; left out: {damaged[0]}" if damaged else ""
    return f"compare: {left} and {right} have nothing to compare: {why}{left_out}"


def records_of(text: str) -> tuple[list[Record], list[DamagedRecord]]:
    """Return the records of one side, and those that cannot be read."""
    path, _, commit = text.partition("@") if not Path(text).exists() else (text, "", "")
    records, damaged = read_below(Path(path))
    if records:
        return list(_at_commit(records, commit)), damaged
    if damaged:
        raise damaged[0]
    raise UsageError(
        f"compare: no records below {path}; give a results folder, a machine's folder, or "
        "FOLDER@COMMIT"
    )


def _at_commit(records: Sequence[Record], commit: str) -> Iterator[Record]:
    """Yield records with their runs at one commit only; of any commit if that is empty."""
    for record in records:
        names = {run.run for run in record.runs if (run.commit or "").startswith(commit)}
        if names:
            yield record.of_runs(names)


def _side(text: str, records: list[Record]) -> Side:
    """Return the newest record of every timed arm; UsageError if a side has several machines."""
    if not records:
        raise UsageError(f"compare: {text} has no run at that commit")
    side: Side = {}
    for record in records:
        if not isinstance(record.arm, SpeedArm):
            continue
        arm = record.arm.without_source()
        other = side.get(arm)
        if other and _machine(other) != _machine(record):
            names = ", ".join(sorted(set(map(_machine, records))))
            raise UsageError(
                f"compare: {text} contains several machines ({names}); name one of their folders"
            )
        if other is None or other.runs[-1].started < record.runs[-1].started:
            side[arm] = record
    return side


def _machine(record: Record) -> str:
    return record.runs[-1].machine.name


def _was_asked_twice(arm: Arm, sides: Sides) -> bool:
    """True if users asked for an arm on both sides."""
    if arm not in sides.after:
        return False
    return was_asked(sides.before[arm]) and was_asked(sides.after[arm])


def _incomparable(arm: Arm, sides: Sides) -> str:
    """Return the settings in which the two sides differ, in words; empty if there are none."""
    mine, theirs = sides.before[arm].head.settings, sides.after[arm].head.settings
    differences = []
    for name in sorted(mine.keys() | theirs.keys()):
        if mine.get(name) != theirs.get(name):
            differences.append(f"{name} {mine.get(name)} and {theirs.get(name)}")
    return f"measured differently: {', '.join(differences)}" if differences else ""


def _unjudged(arm: Arm, sides: Sides, known: Sessions | None) -> Iterator[UnjudgedChange]:
    """Yield the change of every metric that an arm has on both sides."""
    name = f"{arm.label} {getattr(arm, 'image_size', '')} px"
    for metric, sample in sorted(_last_samples(sides.before[arm]).items()):
        before, after = _rounds(sides.before, arm, metric), _rounds(sides.after, arm, metric)
        if not before or not after or sample.better == "none":
            continue
        change = Change(name, metric, sample.better, _raw(before, after))
        if sample.unit in TIMED_UNITS:
            yield _normalised(change, arm, sides, known)
        else:
            yield _plain(change, before, after)


def _last_samples(record: Record) -> dict[str, Sample]:
    """Return the last sample of every metric."""
    last: dict[str, Sample] = {}
    for line in record.rounds:
        for sample in line.samples:
            last[sample.metric] = sample
    return last


def _rounds(side: Side, arm: Arm, metric: str) -> dict[At, InProcess]:
    """Return one value per round; empty if a value has no logarithm."""
    values = fair_per_round(side[arm], metric, MEASURED) if arm in side else {}
    return values if values and min(values.values()) > 0 else {}


def _raw(before: Mapping[At, float], after: Mapping[At, float]) -> Estimate:
    """Return the ratio of second to first as measured, without an interval."""
    change = (sum_of([(1.0, after)]) or 0.0) - (sum_of([(1.0, before)]) or 0.0)
    return Estimate(math.exp(change), n=len(before) + len(after))


def _plain(change: Change, before: Mapping[At, float], after: Mapping[At, float]) -> UnjudgedChange:
    """Return the change of a value that sessions do not affect, such as memory."""
    effect = apart(after, before)
    return UnjudgedChange(change if effect else replace(change, reason=TOO_FEW), effect)


def _normalised(change: Change, arm: Arm, sides: Sides, known: Sessions | None) -> UnjudgedChange:
    """Return the change of a speed relative to its run's reference, sessions accounted for."""
    reference = _reference(arm, sides, change.metric)
    if reference is None:
        return _raw_only(change, "the reference, or without one")
    before = _relative(sides.before, arm, reference, change.metric)
    after = _relative(sides.after, arm, reference, change.metric)
    if before is None or after is None:
        return _raw_only(change, TOO_FEW)
    if known is None:
        return _raw_only(change, "no A/A check on both sides")
    return UnjudgedChange(replace(change, against=reference.model), known.added(before, after))


def _raw_only(change: Change, reason: str) -> UnjudgedChange:
    return UnjudgedChange(replace(change, reason=f"{reason}: raw ratio"), None)


def _relative(side: Side, arm: Arm, reference: Arm, metric: str) -> Effect | None:
    """Return the logarithm of an arm's speed over the reference's, paired by round."""
    mine, theirs = _rounds(side, arm, metric), _rounds(side, reference, metric)
    return effect_of([(1.0, mine), (-1.0, theirs)])


def _reference(arm: Arm, sides: Sides, metric: str) -> Arm | None:
    """Return the arm by which both sides can divide this one.

    That is the reference among the arms asked for, or, if it is this arm itself, the first of the
    A/A check.
    """
    asked: dict[str, Arm] = {}
    families: dict[str, str] = {}
    of_aa_check = None
    for one, record in sides.before.items():
        if not _can_divide(one, arm, sides, metric):
            continue
        if was_asked(record):
            asked[one.model] = one
            families[one.model] = record.head.about.family
        if one.model == SENTINEL[0] and one != arm:
            of_aa_check = of_aa_check or one
    reference = asked[reference_model(families.items())]
    return reference if reference != arm else of_aa_check


def _can_divide(one: Arm, arm: Arm, sides: Sides, metric: str) -> bool:
    """True if an arm was measured like another one, on both sides under the same settings."""
    if not one.comparable_with(arm) or not all(_rounds(side, one, metric) for side in sides):
        return False
    return not _incomparable(one, sides)


def judged(
    lines: Sequence[UnjudgedChange],
    known: Sessions | None,
    refused: list[str],
    damaged: list[DamagedRecord],
) -> Comparison:
    """Return all changes with outcomes, Holm-corrected over the lines that have an effect."""
    raw = {place: line.effect.p(0.0) for place, line in enumerate(lines) if line.effect}
    corrected, levels = holm(raw), holm_levels(raw, ALPHA)
    changes, widths = [], []
    for place, line in enumerate(lines):
        if line.effect:
            widths.append(math.expm1(line.effect.half_width(ALPHA / len(raw))))
            ratio = line.effect.as_ratio_at(levels[place])
            outcome = _outcome(line.change, line.effect, corrected[place])
            change = replace(line.change, ratio=ratio, p=corrected[place], outcome=outcome)
        else:
            change = line.change
        changes.append(change)
    resolves = statistics.median_high(widths) if widths else None
    return Comparison(changes, refused, known, resolves, damaged)


def _outcome(change: Change, effect: Effect, p: float) -> ChangeOutcome:
    if p >= ALPHA:
        return "no change"
    return "better" if (effect.value > 0) == (change.better == "higher") else "worse"
