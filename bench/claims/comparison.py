"""One comparison under every condition that there is evidence for: does it hold, is it fragile, or reversed?

`A > B` says that A is better than B: a higher top-1 or throughput, a lower latency or memory. A condition is one way in
which both were measured, or published, alike: a machine, policy, batch and image size; a recipe and tuning protocol; a
pair of weight tags. Its ratio says how many times better A was. Measures nothing, and imports torch
only for a name that is in no record and in no table.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Literal

from bench.analysis import published
from bench.analysis.accuracy_groups import contestants_by_protocol
from bench.analysis.grade import grade
from bench.analysis.machines import MachineRecords, read_each
from bench.analysis.rows import Accuracy, Row, Summary
from bench.analysis.timm_names import TIMM_NAMES
from bench.errors import UsageError
from bench.plugins import models
from bench.record.reading import record_folders
from bench.stats.intervals import Effect, Estimate, difference
from bench.stats.paired import paired_ratio

On = Literal["top1", "throughput", "latency", "memory"]
Holds = Literal["holds", "fails", "undecided"]
CLAIM = re.compile(r"\s*([^\s<>]+)\s*([<>])\s*([^\s<>]+)\s*")
NEAR = 0.05
"""Without an interval a ratio within this of 1 decides nothing: published speeds come without one."""
IMAGENET = 50_000
"""Images behind a published top-1."""
FACTORS_IN_A_SET = 3
HOLDING = ("robust", "holds in one case")
"""The verdicts under which no decided condition is against a claim."""


@dataclass(frozen=True)
class Condition:
    """One way of comparing: its factors by name, the ratio (above 1: A is better) and whether it is somebody else's figure."""

    factors: dict[str, str]
    ratio: Estimate
    published: bool
    trusted: bool = True
    """Of speeds: whether the run's own checks allow to rank them (bench/analysis/grade.py)."""
    timed: bool = False
    """It was measured in rounds: without an interval nobody knows what another process would give."""
    rests_on: tuple[str, str] = ("", "")
    """What each side's accuracy is of: two conditions that have it in common are not two."""

    @property
    def outcome(self) -> Holds:
        """Whether the claim holds here."""
        low, high = self.ratio.low, self.ratio.high
        if not self.trusted:
            return "undecided"
        if low is None or high is None:
            if self.timed:
                return "undecided"
            low, high = self.ratio.value / (1 + NEAR), self.ratio.value * (1 + NEAR)
        return "holds" if low > 1 else "fails" if high < 1 else "undecided"

    @property
    def text(self) -> str:
        """Its factors in a line."""
        return ", ".join(f"{name} {value}" for name, value in self.factors.items() if value)


@dataclass(frozen=True)
class Answer:
    """What all conditions together say. `flips` are the smallest sets of factors under which the majority is reversed."""

    left: str
    right: str
    on: On
    conditions: list[Condition]
    flips: list[dict[str, str]]
    damaged: list[UsageError] = field(default_factory=list)
    """Records that were left out."""

    def count(self, outcome: Holds) -> int:
        """How many conditions came out so."""
        return sum(one.outcome == outcome for one in self.conditions)

    @property
    def apart(self) -> int:
        """How many decided conditions have neither side in common: of one set of weights against seventeen it is one."""
        decided = [one for one in self.conditions if one.outcome != "undecided"]
        alone = [one for one in decided if not any(one.rests_on)]
        sides = [{one.rests_on[side] for one in decided if any(one.rests_on)} for side in (0, 1)]
        return len(alone) + min(map(len, sides))

    @property
    def verdict(self) -> str:
        """robust, fragile, reversed or undecided; "in one case" where all decided conditions have a side in common."""
        holds, fails = self.count("holds"), self.count("fails")
        if holds and fails:
            return "fragile"
        one = self.apart < 2
        return (
            ("holds in one case" if one else "robust")
            if holds
            else ("fails in one case" if one else "reversed")
            if fails
            else "undecided"
        )


def answer(text: str, on: On, results: Path) -> Answer:
    """Evaluate a claim such as `convmixer_768_32 > vit_s16`; UsageError where it cannot be read or nothing is known."""
    if not (match := CLAIM.fullmatch(text)):
        raise UsageError(f"claim: {text!r} is no comparison; 'convmixer_768_32 > vit_s16' is one")
    left, sign, right = match.groups()
    if sign == "<":
        left, right = right, left
    machines, damaged = _machines(results)
    summaries = [machine.everything for machine in machines]
    found = sorted(_conditions(left, right, on, summaries), key=lambda one: one.ratio.value)
    if not found:
        raise UsageError(
            _nothing(left, right, on, summaries) + (f"; left out: {damaged[0]}" if damaged else "")
        )
    return Answer(left, right, on, found, flips(found), damaged)


def _machines(results: Path) -> tuple[list[MachineRecords], list[UsageError]]:
    """All machines below a folder and what was left out; none where there is no record: published rows are evidence too."""
    if not any(record_folders(results)):
        return [], []
    machines, damaged = read_each(results)
    files = machines[0].summary.imported.problems if machines else []
    return machines, [
        *damaged,
        *(error for machine in machines for error in machine.damaged),
        *map(UsageError, files),
    ]


def _nothing(left: str, right: str, on: str, summaries: list[Summary]) -> str:
    """What to say where no condition has both."""
    known = {row.model for summary in summaries for row in summary.rows} | set(TIMM_NAMES)
    known |= {row.model for summary in summaries for row in summary.accuracies} | {
        row.architecture for row in published.rows()
    }
    for name in (left, right):
        bare = name.partition("@")[0]
        if bare not in known:
            close = difflib.get_close_matches(bare, sorted(known), n=1, cutoff=0.5)
            return f"claim: nothing is recorded or published of {bare!r}" + (
                f"; did you mean {close[0]}?" if close else ""
            )
    return f"claim: no condition has the {on} of both {left} and {right}; `bench run --models {left},{right}` measures one"


def _conditions(left: str, right: str, on: On, summaries: list[Summary]) -> Iterator[Condition]:
    for summary in summaries:
        yield from (
            _measured_top1(left, right, summary)
            if on == "top1"
            else _measured_speed(left, right, on, summary)
        )
    if on == "top1":
        yield from _published_top1(left, right, summaries)
    elif on == "throughput":
        yield from _published_speed(left, right, summaries)


# Measured


def _measured_speed(left: str, right: str, on: On, summary: Summary) -> Iterator[Condition]:
    rows: dict[tuple[int, str], dict[str, Row]] = {}
    for row in summary.rows:
        rows.setdefault((row.image_size, row.policy), {})[row.model] = row
    for (size, policy), by_model in rows.items():
        if left not in by_model or right not in by_model:
            continue
        one, other = by_model[left], by_model[right]
        for quantity in sorted(one.fair.keys() & other.fair.keys()):
            if quantity.metric != on:
                continue
            first, second = (other, one) if quantity.better == "lower" else (one, other)
            ratio = paired_ratio(first.fair[quantity], second.fair[quantity])
            if ratio is not None:
                factors = _where(summary) | {
                    "policy": policy,
                    "batch": str(quantity.batch_size),
                    "px": str(size),
                }
                yield Condition(
                    factors,
                    ratio,
                    False,
                    timed=on != "memory",
                    trusted=on == "memory" or grade(summary, size).marks,
                )


def _measured_top1(left: str, right: str, summary: Summary) -> Iterator[Condition]:
    for protocol, contestants in contestants_by_protocol(summary).items():
        rows = {one.name: one.measured for one in contestants}
        for one, mine in rows.items():
            for other, theirs in rows.items():
                if not (_named(left, one) and _named(right, other)) or not mine or not theirs:
                    continue
                tags = {
                    f"weights of {name.partition('@')[0]}": name.partition("@")[2]
                    for name in (one, other)
                }
                factors = {
                    "data": protocol.data,
                    "labels": protocol.labelling,
                    "recipe": protocol.training,
                    "tuning": protocol.tuning or "as is",
                    "budget": protocol.budget,
                }
                trained = f" {protocol.label}"  # other training runs are other weights
                rests_on = (
                    one if "@" in one else one + trained,
                    other if "@" in other else other + trained,
                )
                yield Condition(
                    _where(summary) | factors | tags,
                    _ratio_of(mine, theirs),
                    False,
                    rests_on=rests_on,
                )


def _named(asked: str, name: str) -> bool:
    """Whether a name, with or without its tag, is meant."""
    return name == asked or name.partition("@")[0] == asked


def _ratio_of(mine: list[Accuracy], theirs: list[Accuracy]) -> Estimate:
    """Of two accuracies: over seeds where both have several, else by their images alone."""
    values = [[one.top1.value for one in side if one.top1] for side in (mine, theirs)]
    if all(len(side) > 1 for side in values) and all(
        value > 0 for side in values for value in side
    ):
        effect = difference(*([math.log(value) for value in side] for side in values))
        assert effect is not None
        return effect.as_ratio
    return _binomial(
        values[0][0], values[1][0], mine[0].detail["images"], theirs[0].detail["images"]
    )


def _binomial(one: float, other: float, images: int, others: int) -> Estimate:
    """Of two shares of right answers, by the delta method."""
    if not one or not other:
        return Estimate(one / other if other else math.inf)
    error = math.sqrt((1 - one) / (one * images) + (1 - other) / (other * others))
    return Effect(math.log(one / other), error, images + others, 2).as_ratio


def _where(summary: Summary) -> dict[str, str]:
    return {"source": "measured", "machine": summary.machine.name}


# Published


def _architecture(name: str, summaries: list[Summary]) -> tuple[str, str]:
    """timm's name of an architecture, and the weight tag that was asked for."""
    bare, _, tag = name.partition("@")
    about = [row.about for summary in summaries for row in summary.rows if row.model == bare]
    about += [row.about for summary in summaries for row in summary.accuracies if row.model == bare]
    told = next((one.timm_name for one in about if one.timm_name), None) or TIMM_NAMES.get(bare)
    known = {row.architecture for row in published.rows()} | {
        row.architecture for row in published.speeds()
    }
    if told is None and not about and bare not in known:
        told = _declared().get(bare)
    return told or bare, tag


def _declared() -> dict[str, str]:
    """Return timm's names as the model files say them; this imports torch."""
    return {entry.name: entry.timm_name for entry in models.entries() if entry.timm_name}


def _published_top1(left: str, right: str, summaries: list[Summary]) -> Iterator[Condition]:
    sides = []
    for name in (left, right):
        architecture, tag = _architecture(name, summaries)
        rows = [
            row
            for row in published.rows()
            if row.architecture == architecture and tag in ("", row.tag)
        ]
        # What papers say without naming weights stands in where no named ones are known.
        sides.append([row for row in rows if row.tag] or rows)
    for one in sides[0]:
        for other in sides[1]:
            if one.image_size != other.image_size:
                continue
            factors = {"source": "published", "data": "ImageNet-1k", "px": str(one.image_size)}
            for name, row in ((left, one), (right, other)):
                bare = name.partition("@")[0]
                factors[f"weights of {bare}"] = row.tag or row.source
                factors[f"more data or a teacher for {bare}"] = (
                    "yes" if row.more_data or row.teacher else "no"
                )
            rests_on = (
                f"{one.architecture}@{one.tag or one.source}",
                f"{other.architecture}@{other.tag or other.source}",
            )
            yield Condition(
                factors,
                _binomial(one.top1, other.top1, IMAGENET, IMAGENET),
                True,
                rests_on=rests_on,
            )


def _published_speed(left: str, right: str, summaries: list[Summary]) -> Iterator[Condition]:
    names = [_architecture(name, summaries)[0] for name in (left, right)]
    by_setting: dict[str, dict[str, float]] = {}
    for speed in published.speeds():
        by_setting.setdefault(speed.setting, {})[speed.architecture] = speed.images_per_s
    for setting, values in by_setting.items():
        if names[0] in values and names[1] in values:
            factors = {"source": "published", **published.factors_of(setting)}
            yield Condition(factors, Estimate(values[names[0]] / values[names[1]]), True)


# What turns it


def flips(conditions: list[Condition]) -> list[dict[str, str]]:
    """The smallest sets of factors under which every decided condition goes against the majority; those with the most first."""
    decided = [one for one in conditions if one.outcome != "undecided"]
    holds = sum(one.outcome == "holds" for one in decided)
    minority = "holds" if holds * 2 < len(decided) else "fails"
    against = [one for one in decided if one.outcome == minority]
    if not against or len(against) == len(decided):
        return []
    for size in range(1, FACTORS_IN_A_SET + 1):
        found: dict[tuple[tuple[str, str], ...], int] = {}
        for one in against:
            for chosen in combinations([item for item in one.factors.items() if item[1]], size):
                if chosen in found:
                    continue
                matching = [
                    other
                    for other in decided
                    if all(other.factors.get(name) == value for name, value in chosen)
                ]
                found[chosen] = (
                    len(matching) if all(other.outcome == minority for other in matching) else 0
                )
        best = sorted((count, chosen) for chosen, count in found.items() if count)
        if best:
            return [dict(chosen) for _, chosen in reversed(best)]
    return []
