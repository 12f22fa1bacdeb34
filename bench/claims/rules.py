"""From effects to verdicts: the rules, and nothing of where effects come from.

A finding says beforehand where its effect would have to lie (its region) for the claim to hold. Supported: the 95 %
interval lies wholly inside. Contradicted: wholly outside. Both only where it stays so after Holm's correction over the
findings that decide the study. Otherwise inconclusive, with how many observations would settle it. On data that are too small to
say anything of architectures an accuracy proves that the pipeline works, whatever it says.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.stats.intervals import ALPHA, Effect, Estimate, holm, student

Outcome = Literal[
    "supported", "contradicted", "inconclusive", "not measured", "pipeline check", "exact"
]
AGAIN = 0.01
"""What all further looks of a study that is measured again and again may add to it."""
POWER = 0.8
MOST = 2_000
"""More observations than this are not proposed."""
Unit = Literal["×", "points", "exponent", "share"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One comparison of a study.

    `effect` is in `unit`: points of top-1, an exponent, or for "×" the logarithm of a ratio. `region` is where the claim
    wants it (for "×" as ratios): its ends are what the smallest effect of interest makes them. `effect` is None where
    something is missing; `value` then may still be known, without an interval. `primary` findings decide the study.
    """

    what: str
    unit: Unit
    region: tuple[float, float]
    effect: Effect | None
    value: float | None = None
    of: Literal["rounds", "trainings"] = "rounds"
    primary: bool = True
    note: str = ""
    exact: bool = False
    """`value` was counted, not measured: there is nothing to be unsure of."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The region in the effect's own scale."""
        if self.unit != "×":
            return self.region
        low, high = self.region
        return (
            math.log(low) if low > 0 else -math.inf,
            math.log(high) if high < math.inf else math.inf,
        )

    @property
    def nearest(self) -> float:
        """The end of the region that is nearest to the effect."""
        assert self.effect is not None
        value = self.effect.value
        return min(
            (bound for bound in self.bounds if math.isfinite(bound)),
            key=lambda bound: abs(bound - value),
        )

    @property
    def shown(self) -> Estimate | None:
        """The effect for people: ratios as ratios."""
        if self.effect is None:
            return None if self.value is None else Estimate(self.value)
        return self.effect.as_ratio if self.unit == "×" else self.effect.estimate


@dataclass(frozen=True)
class Judged:
    """A finding with its outcome, its p-value (of deciding ones after Holm's correction), and the observations that would settle it."""

    finding: Finding
    outcome: Outcome
    p: float | None = None
    needed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a study says at one scale. `missing`: the command that measures what is not there."""

    study: str
    question: str
    scale: str
    outcome: Outcome
    findings: list[Judged]
    claims: tuple[int, ...] = ()
    missing: str = ""
    sentinel: Estimate | None = None
    """Of speeds: what the same runs make of one graph under two names."""
    withheld: str = ""
    """Of speeds: why the run's own checks allow no verdict (bench/analysis/grade.py)."""
    changed: bool = False
    """Some of its data were measured when the study asked something else (bench/claims/questions.py)."""

    @property
    def leading(self) -> Finding | None:
        """The first deciding effect that came out as the whole did, else the first that there is."""
        shown = [one for one in self.findings if one.finding.primary and one.finding.shown]
        return next(
            (one.finding for one in shown if one.outcome == self.outcome),
            shown[0].finding if shown else None,
        )


def judge(findings: Sequence[Finding]) -> list[Judged]:
    """The outcome of every finding of a study.

    Those that decide it are corrected for how many they are (Holm). What stands beside them decides nothing, costs the
    others nothing, and is not corrected.
    """
    p_values = {
        number: one.effect.p(one.nearest)
        for number, one in enumerate(findings)
        if one.effect is not None
    }
    deciding = holm({number: p for number, p in p_values.items() if findings[number].primary})
    return [
        _judged(one, deciding.get(number, p_values.get(number)))
        for number, one in enumerate(findings)
    ]


def level(runs: int) -> float:
    """Below which p is decided, where the data are of so many runs: each is a look, and who looks often enough finds anything.

    The first has 5 %, all later ones have 1 % together, the second half of it, the third a sixth and so on.
    """
    return ALPHA if runs < 2 else AGAIN / (runs * (runs - 1))


def _judged(finding: Finding, p: float | None) -> Judged:
    if finding.effect is None or p is None:
        return Judged(
            finding,
            "not measured"
            if finding.value is None
            else "exact"
            if finding.exact
            else "inconclusive",
        )
    found, (low, high) = finding.effect.estimate, finding.bounds
    assert found.low is not None and found.high is not None
    alpha = level(finding.effect.runs)
    if p < alpha and low <= found.low and found.high <= high:
        return Judged(finding, "supported", p)
    if p < alpha and (found.high < low or found.low > high):
        return Judged(finding, "contradicted", p)
    return Judged(finding, "inconclusive", p, _needed(finding))


def _needed(finding: Finding) -> int | None:
    """Observations at which an effect of this size and spread would be decided; None where no number is sensible."""
    assert finding.effect is not None
    effect, distance = finding.effect, abs(finding.effect.value - finding.nearest)
    if not distance:
        return None
    alpha = level(effect.runs + (finding.of == "rounds"))  # more rounds are those of another run

    def settled(more: int) -> bool:
        larger = Effect(
            effect.value,
            effect.error * math.sqrt(effect.n / more),
            effect.freedom * more / effect.n,
            more,
        )
        return larger.p(finding.nearest) < alpha

    found = (
        bisect_left(range(MOST), True, lo=effect.n + 1, key=settled)
        if effect.n + 1 < MOST
        else MOST
    )
    return found if found < MOST else None


def resolvable(judged: Sequence[Judged]) -> dict[str, float]:
    """Of every deciding effect how far it has to lie from its region's end for eight draws in ten to decide it, in its own scale.

    By the spread that was found, and as if Holm's correction took its whole toll.
    """
    primary = [one.finding for one in judged if one.finding.primary]
    found = {
        one.what: (one.effect, level(one.effect.runs) / len(primary))
        for one in primary
        if one.effect is not None
    }
    return {
        what: (student(effect.freedom, 1 - alpha / 2) + student(effect.freedom, POWER))
        * effect.error
        for what, (effect, alpha) in found.items()
    }


def overall(judged: Sequence[Judged]) -> Outcome:
    """The claim is the conjunction of its primary findings: one that is contradicted contradicts it."""
    primary = [one.outcome for one in judged if one.finding.primary]
    if not primary or all(outcome == "not measured" for outcome in primary):
        return "not measured"
    for outcome in ("contradicted", "not measured", "inconclusive"):
        if outcome in primary:
            return outcome
    return "supported"
