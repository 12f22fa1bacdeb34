"""The answer to every claim: of all machines and scales, the verdict that says most.

A verdict that is decided comes before one that is not, then that of the larger scale, then that of
more observations. Data that say nothing about architectures give no answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bench.analysis.groups import grouped
from bench.analysis.machines import MachineRecords
from bench.claims.rules import Finding, Judged, Outcome, Verdict
from bench.claims.scales import CIFAR10_SMALL, JPEG
from bench.claims.verdicts import verdicts
from bench.config import COMMAND
from bench.plugins import Study, studies

Standing = Literal["holds", "does not hold", "differs", "not known"]
SETTLED: dict[Outcome, Standing] = {"supported": "holds", "contradicted": "does not hold"}


@dataclass(frozen=True, kw_only=True)
class Witness:
    """A verdict, and the machine whose records it is drawn from."""

    machine: MachineRecords
    verdict: Verdict

    @property
    def settled(self) -> bool:
        """True if the claim is supported or contradicted here."""
        return self.verdict.outcome in SETTLED

    @property
    def rank(self) -> int:
        """The place of the scale among all from the smallest; -1 for speeds."""
        return self.verdict.at.rank if self.verdict.at else -1

    @property
    def weight(self) -> tuple[bool, bool, int, int]:
        """The sort key: the witness with the highest one is heard first."""
        effects = [one.finding.effect for one in self.verdict.findings]
        observations = sum(effect.n for effect in effects if effect)
        return self.settled, self.verdict.leading is not None, self.rank, observations


@dataclass(frozen=True, kw_only=True)
class ClaimAnswer:
    """What the records say of one study's claim.

    `chosen` is the verdict to show, None if nothing was measured that could answer; `others` are
    those of other machines and scales that measured something too.
    """

    study: Study
    chosen: Witness | None
    others: tuple[Witness, ...] = ()

    @property
    def headline(self) -> str:
        """The claim in a few words; the question of a study that has none."""
        return self.study.headline or self.study.question

    @property
    def claim(self) -> str:
        """The claim in a sentence; the question of a study that has none."""
        return self.study.claim or self.study.question

    @property
    def verdict(self) -> Verdict | None:
        """The verdict to show."""
        return self.chosen.verdict if self.chosen else None

    @property
    def standing(self) -> Standing:
        """Whether the claim holds; "differs" if machines or equal scales contradict each other."""
        if self.chosen is None or not self.chosen.settled:
            return "not known"
        if any(other.rank == self.chosen.rank for other in self.opposed):
            return "differs"
        return SETTLED[self.chosen.verdict.outcome]

    @property
    def agreeing(self) -> list[Witness]:
        """The other verdicts with the same decision."""
        return self._settled(agree=True)

    @property
    def opposed(self) -> list[Witness]:
        """The other verdicts with the opposite decision."""
        return self._settled(agree=False)

    @property
    def leading(self) -> Finding | None:
        """The effect to show; None if nothing was measured."""
        return self.verdict.leading if self.verdict else None

    @property
    def deciding(self) -> list[Judged]:
        """The findings that decide the claim."""
        findings = self.verdict.findings if self.verdict else []
        return [one for one in findings if one.finding.primary]

    @property
    def missing(self) -> str:
        """The command that measures what the answer lacks."""
        if self.verdict:
            return self.verdict.missing
        smallest = replace(CIFAR10_SMALL, data=JPEG)
        flags = f" {smallest.asked}" if self.study.trains else ""
        return f"{COMMAND} study run {self.study.name}{flags}"

    def _settled(self, *, agree: bool) -> list[Witness]:
        if self.chosen is None or not self.chosen.settled:
            return []
        outcome = self.chosen.verdict.outcome
        settled = [other for other in self.others if other.settled]
        return [other for other in settled if (other.verdict.outcome == outcome) is agree]


def answers(machines: Sequence[MachineRecords]) -> list[ClaimAnswer]:
    """Return the answer to the claim of every study, in the order of the claims."""
    witnesses: list[Witness] = []
    for machine in machines:
        found = verdicts(machine.everything)
        witnesses += [Witness(machine=machine, verdict=verdict) for verdict in found]
    by_study = grouped(witnesses, lambda witness: witness.verdict.study)
    return [_answer(studies.get(name), heard) for name, heard in by_study.items()]


def _answer(study: Study, heard: list[Witness]) -> ClaimAnswer:
    sound = [witness for witness in heard if _says_something(witness.verdict)]
    if not sound:
        return ClaimAnswer(study=study, chosen=None)
    first, *others = sorted(sound, key=lambda witness: witness.weight, reverse=True)
    return ClaimAnswer(study=study, chosen=first, others=tuple(others))


def _says_something(verdict: Verdict) -> bool:
    """True if a deciding effect was measured at a scale that says something about architectures."""
    decisive = verdict.at is None or verdict.at.decisive
    return decisive and verdict.leading is not None
