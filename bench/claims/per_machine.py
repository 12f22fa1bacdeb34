"""On which machines is A faster than B? Each machine answers by its own rounds, and none is mixed.

A machine may have timed both models under several policies and batch sizes; each is one comparison
by the paired ratio. As many comparisons are looked at, one is decided if its p-value, corrected
over all of them (Holm 1979), is below 0.05; a run whose own checks forbid ranking
(bench/analysis/grade.py) takes no part.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from bench.analysis.grade import Grade, grade
from bench.analysis.rows import Summary
from bench.claims.conditions import Condition, measured_speed
from bench.errors import UsageError
from bench.stats.intervals import ALPHA, Effect, effect_of_ratio, holm

Speed = Literal["throughput", "latency"]
Outcome = Literal["faster", "slower", "can't tell", "no part"]
MachineWord = Literal["faster", "slower", "both", "can't tell", "no part", "not measured"]
"""`both`: faster under some of the machine's conditions and slower under others."""
WORDS: tuple[MachineWord, ...] = get_args(MachineWord)


@dataclass(frozen=True)
class Compared:
    """One comparison of both models on one machine: its condition, and what it decides."""

    condition: Condition
    outcome: Outcome
    trust: Grade


@dataclass(frozen=True)
class MachineAnswer:
    """The answer of one machine. `reason` says why it takes no part, or did not measure both."""

    machine: str
    compared: list[Compared]
    reason: str = ""

    @property
    def word(self) -> MachineWord:
        """The answer in a word: by the decided comparisons, of those that take part."""
        if not self.compared:
            return "not measured"
        outcomes = {one.outcome for one in self.compared}
        decided = outcomes & {"faster", "slower"}
        if len(decided) == 2:
            return "both"
        for word in ("faster", "slower", "can't tell"):
            if word in outcomes:
                return word
        return "no part"


@dataclass(frozen=True)
class PoolAnswer:
    """The answers of all machines to `left` being faster than `right`."""

    left: str
    right: str
    on: Speed
    machines: list[MachineAnswer]

    @property
    def taking_part(self) -> int:
        """The number of comparisons that take part, over which p-values are corrected."""
        each = [one for machine in self.machines for one in machine.compared]
        return sum(one.outcome != "no part" for one in each)

    def of(self, word: MachineWord) -> list[MachineAnswer]:
        """Return the machines with this answer."""
        return [machine for machine in self.machines if machine.word == word]


def per_machine(left: str, right: str, on: Speed, summaries: Sequence[Summary]) -> PoolAnswer:
    """Return each machine's own answer to `left` being faster than `right`.

    Raises UsageError if one of the models was not timed on any machine.
    """
    if left == right:
        raise UsageError(f"--claim: names {left} twice; 'convmixer_768_32 > vit_s16' would work")
    for name in (left, right):
        _check_known(name, summaries)
    found = [list(measured_speed(left, right, on, summary)) for summary in summaries]
    effects: dict[tuple[int, int], Effect] = {}
    for place, conditions in enumerate(found):
        for number, condition in enumerate(conditions):
            effect = effect_of_ratio(condition.ratio)
            if condition.trusted and effect is not None:
                effects[place, number] = effect
    p_values = holm({key: effect.p(0.0) for key, effect in effects.items()})
    machines: list[MachineAnswer] = []
    for place, (summary, conditions) in enumerate(zip(summaries, found, strict=True)):
        compared: list[Compared] = []
        for number, condition in enumerate(conditions):
            trust = grade(summary, int(condition.factors["px"]))
            p = p_values.get((place, number), 1.0)
            compared.append(Compared(condition, _outcome(condition, p), trust))
        reason = _reason(left, right, on, summary, compared)
        machines.append(MachineAnswer(summary.machine.name, compared, reason))
    return PoolAnswer(left, right, on, machines)


def _outcome(condition: Condition, p: float) -> Outcome:
    if not condition.trusted:
        return "no part"
    if p >= ALPHA:
        return "can't tell"
    return "faster" if condition.ratio.value > 1 else "slower"


def _reason(left: str, right: str, on: Speed, summary: Summary, compared: list[Compared]) -> str:
    """Return why a machine takes no part, or has no comparison; empty for one that answers."""
    untrusted = [one.trust for one in compared if one.outcome == "no part"]
    if compared:
        return _of_grade(untrusted[0]) if len(untrusted) == len(compared) else ""
    timed = _timed(summary, on)
    lacking = [name for name in (left, right) if name not in timed]
    if lacking:
        return f"no {on} of {' and '.join(lacking)}"
    return f"their {on} was not measured alike and in the same rounds"


def _of_grade(trust: Grade) -> str:
    """Return `do not use: the drift check varied by 43 %`, the first reason alone."""
    return f"{trust.word}: {trust.reason}"


def _timed(summary: Summary, on: str) -> set[str]:
    """Return the models that have a speed, by both of their names."""
    names: set[str] = set()
    for row in summary.rows:
        if any(quantity.metric == on for quantity in row.fair):
            names |= {row.model, row.label}
    return names


def _check_known(name: str, summaries: Sequence[Summary]) -> None:
    """Raise UsageError if no machine has a row of this model."""
    known: set[str] = set()
    for summary in summaries:
        for row in summary.rows:
            known |= {row.model, row.label}
    if name not in known:
        close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else "`bench pool FOLDER --all` shows what has"
        raise UsageError(f"--claim: no pack has a model {name!r}; {hint}")
