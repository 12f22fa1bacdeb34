"""Evaluate a comparison under every condition with evidence: is it robust, fragile or reversed?

`A > B` claims that A is better than B: a higher top-1 or throughput, a lower latency or memory. A
condition is one way in which both were measured or published: a machine, policy, batch and image
size; a recipe and tuning protocol; a pair of weight tags. Its ratio is how many times better A was.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from bench.analysis import published
from bench.analysis.machines import MachineRecords, read_each
from bench.analysis.rows import Summary
from bench.analysis.timm_names import TIMM_NAMES
from bench.claims.conditions import Condition, Holds, On, conditions, rows_of
from bench.errors import UsageError
from bench.record.reading import record_folders

CLAIM = re.compile(r"\s*([^\s<>]+)\s*([<>])\s*([^\s<>]+)\s*")
FACTORS_IN_A_SET = 3
"""Largest number of factors that are tried together."""
HOLDING = ("robust", "holds in one case")
"""Verdicts without a decided condition against the claim."""

Factors = tuple[tuple[str, str], ...]
"""Pairs of a factor's name and value."""


@dataclass(frozen=True)
class Answer:
    """What all conditions say together.

    `flips` are the smallest sets of factors under which the majority is reversed.
    """

    left: str
    right: str
    on: On
    conditions: list[Condition]
    flips: list[dict[str, str]]
    damaged: list[UsageError] = field(default_factory=list)
    """The errors of records that were left out."""

    def count(self, outcome: Holds) -> int:
        """Return the number of conditions with this outcome."""
        return sum(condition.outcome == outcome for condition in self.conditions)

    @property
    def apart(self) -> int:
        """The number of independent comparisons among the decided conditions.

        One set of weights against seventeen others is a single comparison.
        """
        alone, left_sides, right_sides = 0, set(), set()
        for condition in _decided(self.conditions):
            if any(condition.rests_on):
                left_sides.add(condition.rests_on[0])
                right_sides.add(condition.rests_on[1])
            else:
                alone += 1
        return alone + min(len(left_sides), len(right_sides))

    @property
    def verdict(self) -> str:
        """robust, fragile, reversed or undecided.

        "holds in one case" or "fails in one case" if all decided conditions have a side in common.
        """
        holds, fails = self.count("holds"), self.count("fails")
        if holds and fails:
            return "fragile"
        in_one_case = self.apart < 2
        if holds:
            return "holds in one case" if in_one_case else "robust"
        if fails:
            return "fails in one case" if in_one_case else "reversed"
        return "undecided"


def answer(text: str, on: On, results: Path) -> Answer:
    """Evaluate a claim such as `convmixer_768_32 > vit_s16` on the records below a folder.

    Raises UsageError if it is not a comparison, or if no condition has both models.
    """
    left, right = sides(text, "claim")
    machines, damaged = _machines(results)
    summaries = [machine.everything for machine in machines]
    found = sorted(
        conditions(left, right, on, summaries), key=lambda condition: condition.ratio.value
    )
    if not found:
        left_out = f"; left out: {damaged[0]}" if damaged else ""
        raise UsageError(_no_condition(left, right, on, summaries) + left_out)
    return Answer(left, right, on, found, flips(found), damaged)


def sides(text: str, flag: str) -> tuple[str, str]:
    """Return the two models of `A > B`, the one that is claimed to be better first.

    Raises UsageError, which names the `flag`, for any other text.
    """
    match = CLAIM.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{flag}: {text!r} is not a comparison; 'convmixer_768_32 > vit_s16' would work"
        )
    left, sign, right = match.groups()
    return (right, left) if sign == "<" else (left, right)


def _machines(results: Path) -> tuple[list[MachineRecords], list[UsageError]]:
    """Return all machines below a folder, and the errors of what was left out.

    Without any record there are no machines, but published rows are evidence too.
    """
    if not any(record_folders(results)):
        return [], []
    machines, left_out = read_each(results)
    errors: list[UsageError] = list(left_out)
    for machine in machines:
        errors += machine.damaged
    if machines:
        errors += map(UsageError, machines[0].summary.imported.problems)
    return machines, errors


def _no_condition(left: str, right: str, on: str, summaries: list[Summary]) -> str:
    """Return the error if no condition has both models."""
    known = set(TIMM_NAMES) | {row.architecture for row in published.rows()}
    for summary in summaries:
        for row in rows_of(summary):
            known |= {row.model, row.label}
    for name in (left, right):
        model = name.partition("@")[0]
        if model not in known:
            close = difflib.get_close_matches(model, sorted(known), n=1, cutoff=0.5)
            hint = f"; did you mean {close[0]}?" if close else ""
            return f"claim: nothing is recorded or published of {model!r}{hint}"
    return (
        f"claim: no condition has the {on} of both {left} and {right}; "
        f"`bench run --models {left},{right}` measures one"
    )


def flips(conditions: Sequence[Condition]) -> list[dict[str, str]]:
    """Return the smallest sets of factors that reverse the majority.

    Every decided condition with these factors is against the majority of all. The sets with the
    most conditions come first.
    """
    decided = _decided(conditions)
    holding = [condition for condition in decided if condition.outcome == "holds"]
    failing = [condition for condition in decided if condition.outcome == "fails"]
    if not holding or not failing:
        return []
    against = min(failing, holding, key=len)
    for size in range(1, FACTORS_IN_A_SET + 1):
        turning = _turning(against, decided, size)
        if turning:
            return [dict(factors) for _, factors in sorted(turning, reverse=True)]
    return []


def _turning(
    against: Sequence[Condition], decided: Sequence[Condition], size: int
) -> set[tuple[int, Factors]]:
    """Return the sets of `size` factors that only conditions `against` the majority have.

    Each comes with the number of those conditions.
    """
    candidates: set[Factors] = set()
    for condition in against:
        candidates.update(combinations(condition.given, size))
    turning = set()
    for factors in candidates:
        count = len(_with(factors, against))
        if count == len(_with(factors, decided)):
            turning.add((count, factors))
    return turning


def _decided(conditions: Sequence[Condition]) -> list[Condition]:
    return [condition for condition in conditions if condition.outcome != "undecided"]


def _with(factors: Factors, conditions: Sequence[Condition]) -> list[Condition]:
    """Return the conditions that have all of these factors."""
    wanted = dict(factors)
    return [condition for condition in conditions if wanted.items() <= condition.factors.items()]
