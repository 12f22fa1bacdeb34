"""The rules from effects to verdicts, independent of where effects come from.

A finding declares in advance its region: where the effect must lie for the claim to hold. It is
supported if the 95 % interval is inside, contradicted if it is outside, and both only if that
survives Holm's correction over the findings that decide the study. Otherwise it is inconclusive,
with the number of observations that would settle it. On data that is too small to compare
architectures, an accuracy shows that the pipeline works, whatever its value.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.claims.scales import Scale
from bench.stats.intervals import ALPHA, Effect, Estimate, holm, student
from bench.stats.power import decided_from

Outcome = Literal[
    "supported", "contradicted", "inconclusive", "not measured", "pipeline check", "exact"
]
AGAIN = 0.01
"""Error rate of all further runs of a study together, after the first."""
POWER = 0.8
"""Share of draws in which an effect that is called resolvable would be decided."""
MOST = 2_000
"""Largest number of observations that is proposed."""
Unit = Literal["×", "points", "exponent", "share", "rank correlation"]


@dataclass(frozen=True, kw_only=True)
class PublishedEffect:
    """The effect that others published for a finding's comparison; shown beside it, never mixed in.

    `value` is in the finding's unit, for "×" as a ratio. `on` names their data and networks, which
    are hardly ever those of the scale, and `source` who published it.
    """

    value: float
    on: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One comparison of a study.

    `effect` is in `unit`: points of top-1, an exponent, a share, for "×" the logarithm of a ratio,
    for "rank correlation" artanh of Kendall's tau. It is None if something is missing; `value` may
    then still be known, without an interval.

    `region` is where the claim wants the effect, for "×" as ratios; its ends follow from the
    smallest effect of interest. `of` is the kind of observation. `primary` findings decide the
    study. `published` is what others found for the same comparison, and is no part of the question.
    """

    what: str
    unit: Unit
    region: tuple[float, float]
    effect: Effect | None
    value: float | None = None
    of: Literal["rounds", "trainings", "architectures"] = "rounds"
    primary: bool = True
    note: str = ""
    published: PublishedEffect | None = None
    exact: bool = False
    """True if `value` was counted, not measured, and has no error: it is in the region or not."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The region in the effect's own scale: logarithms of ratios, artanh of correlations."""
        low, high = self.region
        if self.unit == "×":
            return (
                math.log(low) if low > 0 else -math.inf,
                math.log(high) if high < math.inf else math.inf,
            )
        if self.unit == "rank correlation":
            return (
                math.atanh(low) if low > -1 else -math.inf,
                math.atanh(high) if high < 1 else math.inf,
            )
        return self.region

    @property
    def nearest(self) -> float:
        """The end of the region that is nearest to the effect."""
        assert self.effect is not None
        value = self.effect.value
        return min(filter(math.isfinite, self.bounds), key=lambda bound: abs(bound - value))

    @property
    def shown(self) -> Estimate | None:
        """The effect as people read it, with ratios as ratios; None if nothing is known."""
        if self.effect is None:
            return None if self.value is None else Estimate(self.value)
        if self.unit == "rank correlation":
            return self.effect.as_correlation
        return self.effect.as_ratio if self.unit == "×" else self.effect.estimate

    def distance(self, by: float) -> float:
        """Return how far from the region's end an effect lies that is `by` off on its own scale.

        It is in the finding's unit, for "×" as a ratio; for a correlation, on the side of 0, where
        the same step is longer.
        """
        if self.unit == "×":
            return math.exp(by)
        if self.unit == "rank correlation":
            end = abs(self.nearest)
            return math.tanh(end) - math.tanh(end - by)
        return by


@dataclass(frozen=True)
class Judged:
    """A finding with its outcome.

    `p` is its p-value, after Holm's correction if the finding is primary. `needed` is the number of
    observations that would settle it.
    """

    finding: Finding
    outcome: Outcome
    p: float | None = None
    needed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The answer of a study at one scale; `missing` is the command that measures what it lacks."""

    study: str
    question: str
    scale: str
    outcome: Outcome
    findings: list[Judged]
    claims: tuple[int, ...] = ()
    at: Scale | None = None
    """The scale of a study that trains; None for speeds."""
    missing: str = ""
    sentinel: Estimate | None = None
    """The ratio of the A/A pair in the same runs, for studies of speed."""
    withheld: str = ""
    """Why the run's own checks allow no verdict on speeds (bench/analysis/grade.py)."""
    distrust: str = ""
    """The first reason for that, in few words."""
    changed: bool = False
    """True if some data were measured for another question (bench/claims/questions.py)."""

    @property
    def key(self) -> str:
        """The scale's key, or the machine's hardware for speeds; part of the names of figures."""
        return self.at.key if self.at else self.scale.partition(",")[0]

    @property
    def leading(self) -> Finding | None:
        """The primary finding to show: the first with the outcome of the whole, else the first."""
        first: Finding | None = None
        for judged in self.findings:
            if judged.finding.primary and judged.finding.shown is not None:
                if judged.outcome == self.outcome:
                    return judged.finding
                first = first or judged.finding
        return first


def judge(findings: Sequence[Finding]) -> list[Judged]:
    """Return the outcome of every finding of a study.

    Primary findings are corrected for their number (Holm 1979). The others decide nothing, cost the
    primary ones nothing, and are not corrected.
    """
    p_values: dict[int, float] = {}
    for number, finding in enumerate(findings):
        if finding.effect is not None:
            p_values[number] = finding.effect.p(finding.nearest)
    p_values |= holm({number: p for number, p in p_values.items() if findings[number].primary})
    return [_judged(finding, p_values.get(number)) for number, finding in enumerate(findings)]


def level(runs: int) -> float:
    """Return the level below which p is decided, if the data are from this many runs.

    Each run is another look at the data, and enough looks find anything. The first has 5 %; all
    later ones have 1 % together: the second half of it, the third a sixth, and so on.
    """
    return ALPHA if runs < 2 else AGAIN / (runs * (runs - 1))


def _judged(finding: Finding, p: float | None) -> Judged:
    if finding.effect is None or p is None:
        return Judged(finding, _without_effect(finding))
    interval, (low, high) = finding.effect.estimate, finding.bounds
    assert interval.low is not None and interval.high is not None
    decided = p < level(finding.effect.runs)
    if decided and low <= interval.low and interval.high <= high:
        return Judged(finding, "supported", p)
    if decided and (interval.high < low or interval.low > high):
        return Judged(finding, "contradicted", p)
    return Judged(finding, "inconclusive", p, _needed(finding))


def _without_effect(finding: Finding) -> Outcome:
    if finding.value is None:
        return "not measured"
    if not finding.exact:
        return "inconclusive"
    if not finding.primary:
        return "exact"
    low, high = finding.region
    return "supported" if low <= finding.value <= high else "contradicted"


def _needed(finding: Finding) -> int | None:
    """Return the observations that would decide an effect of this size and spread.

    None if the effect is on the end of the region, or if it would take too many.
    """
    assert finding.effect is not None
    effect = finding.effect
    if effect.value == finding.nearest:
        return None
    # More rounds or architectures would be those of another run.
    alpha = level(effect.runs + (finding.of != "trainings"))

    def settled(n: int) -> bool:
        error = effect.error * math.sqrt(effect.n / n)
        larger = Effect(effect.value, error, effect.freedom * n / effect.n, n)
        return larger.p(finding.nearest) < alpha

    fewest = effect.n + 1
    needed = bisect_left(range(MOST), True, lo=fewest, key=settled) if fewest < MOST else MOST
    return needed if needed < MOST else None


def resolvable(judged: Sequence[Judged]) -> dict[str, float]:
    """Return how far from its region's end each primary effect must lie to be decided.

    That is in eight draws of ten, with the spread that was found, and as if Holm's correction took
    its full toll. The distance is in the effect's own scale. Of few training runs, the spread that
    the next ones show varies as well (bench/stats/power.py).
    """
    primary = [one.finding for one in judged if one.finding.primary]
    distances = {}
    for finding in primary:
        effect = finding.effect
        if effect is not None:
            alpha = level(effect.runs) / len(primary)
            distances[finding.what] = _quantiles(finding, effect, alpha) * effect.error
    return distances


def _quantiles(finding: Finding, effect: Effect, alpha: float) -> float:
    """Return the standard errors from which an effect is decided in eight draws of ten."""
    seeds = effect.n // effect.groups
    if finding.of == "trainings" and seeds > 1:
        return decided_from(effect.groups, seeds, alpha, POWER, shared=effect.pooled)
    return student(effect.freedom, 1 - alpha / 2) + student(effect.freedom, POWER)


def overall(judged: Sequence[Judged]) -> Outcome:
    """Return the outcome of a study, whose claim is the conjunction of its primary findings.

    A single contradicted one contradicts it.
    """
    outcomes = {one.outcome for one in judged if one.finding.primary}
    if outcomes <= {"not measured"}:
        return "not measured"
    for outcome in ("contradicted", "not measured", "inconclusive"):
        if outcome in outcomes:
            return outcome
    return "supported"
