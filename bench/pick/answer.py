"""The answer of `bench pick`: each candidate's probability to be the best within the limits.

What was measured comes from records, what was published from tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bench.pick.candidates import Candidate
from bench.pick.draws import Draws, Evidence, tops_of
from bench.pick.limits import Limits, Objective
from bench.pick.standing import Seen, leaving
from bench.pick.timed import Timed
from bench.stats.intervals import Estimate

Standing = Literal["in", "out", "open", "failed"]
"""`in`: with a probability. `out`: certainly not the best. `open`: too few rounds or processes to
say. `failed`: it has no speed here."""
ORDER = ("in", "open", "out", "failed")
CERTAIN = 0.99
"""Probability of another one being better from which on it does not matter how fast one is."""
MOST_UNDECIDED = 0.2
"""Largest share of undecided draws with which an answer is given."""
LISTED = 0.01
"""Least probability with which a candidate is on the short list."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A candidate with what was measured, and what that says.

    `best` is its probability to be the best within the limits, at least, `within` that to be within
    them; None without an interval.
    """

    candidate: Candidate
    timed: Timed | None
    standing: Standing
    reason: str = ""
    best: float | None = None
    within: float | None = None
    probed: Estimate | None = None
    """The top-1 of a head on its frozen features, in place of the published one."""

    @property
    def may_win(self) -> bool:
        """True unless it is known not to be the best."""
        return self.standing == "open" or (self.standing == "in" and self.within != 0.0)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The candidates by their probability to be the best, the likeliest first."""

    limits: Limits
    objective: Objective
    judged: list[Judged]
    none: float = 0.0
    """The probability that no candidate is within the limits."""
    undecided: float = 0.0
    """The share of the draws in which a candidate of unknown speed might be the best: every other
    probability is larger by at most this."""
    by_probe: bool = False

    @property
    def likeliest(self) -> Judged | None:
        """The candidate to name; None if none can be within the limits."""
        running = [one for one in self.judged if one.standing == "in" and one.best]
        return running[0] if running else None

    @property
    def settled(self) -> bool:
        """True if few enough draws are undecided to name a model."""
        return self.undecided <= MOST_UNDECIDED

    @property
    def unsettled(self) -> list[Judged]:
        """Candidates that could be the best, and of which too little is known."""
        return [one for one in self.judged if one.standing == "open"]

    @property
    def short_list(self) -> list[Judged]:
        """The candidates that are the best with some probability, and those still open."""
        return [one for one in self.judged if one.standing == "open" or (one.best or 0.0) >= LISTED]


def answer(
    candidates: Sequence[Candidate], evidence: Evidence, limits: Limits, objective: Objective
) -> Answer:
    """Return each candidate's probability to be the best within the limits.

    Top-1 is drawn from a candidate's published weight sets, each as likely, or with a probe from
    its test images drawn anew; speeds from their intervals over rounds and processes.
    """
    judged = _sort_out(candidates, evidence, limits, objective)
    running = [one for one in judged if one.standing == "in"]
    draws = Draws.of([one.candidate for one in running], evidence, limits)
    judged = [_settled(one, draws, evidence, objective) for one in judged]
    unknown = [one.candidate for one in judged if one.standing == "open"]
    shares = draws.best(objective, unknown)
    within = draws.shares_within
    found: list[Judged] = []
    for one in judged:
        name = one.candidate.name
        if one.standing == "in":
            found.append(replace(one, within=within[name], best=shares.best[name]))
        else:
            found.append(one)
    found.sort(key=lambda one: (ORDER.index(one.standing), *_rank(one, objective)))
    return Answer(
        limits=limits,
        objective=objective,
        judged=found,
        none=shares.none,
        undecided=shares.undecided,
        by_probe=bool(evidence.probed),
    )


def _settled(one: Judged, draws: Draws, evidence: Evidence, objective: Objective) -> Judged:
    """Return a candidate of which too little is known; out if that does not matter.

    It does not where another one with a higher top-1, whatever the weight sets, is as good as
    certainly within the limits.
    """
    if one.standing != "open" or objective != "top1":
        return one
    beaten = draws.share_beating(tops_of(one.candidate, evidence))
    if beaten < CERTAIN:
        return one
    return replace(one, standing="out", reason="worse than one that is within the limits")


def _rank(one: Judged, objective: Objective) -> tuple[float, ...]:
    """Return the sort key within one standing: the likeliest, then the better by its middle."""
    timed = one.timed.values if one.timed else {}
    latency = timed["latency"].value if "latency" in timed else float("inf")
    tops = one.candidate.tops
    top = one.probed.value if one.probed else (sum(tops) / len(tops) if tops else 0.0)
    likely = (one.within or 0.0) >= 0.5
    return (-(one.best or 0.0), -likely, -top if objective == "top1" else latency)


def _sort_out(
    candidates: Sequence[Candidate], evidence: Evidence, limits: Limits, objective: Objective
) -> list[Judged]:
    """Return every candidate with its standing."""
    seen = {found.name: _seen(found, evidence) for found in candidates}
    gone = leaving(seen, limits.latency, objective, sure=limits.memory is None)
    judged: list[Judged] = []
    for found in candidates:
        timed = evidence.timed.get(found.name)
        probed = evidence.probed.get(found.name)
        standing, reason = _standing(found, evidence, limits, objective)
        if standing in ("in", "open") and found.name in gone:
            standing, reason = "out", gone[found.name]
        judged.append(
            Judged(
                candidate=found,
                timed=timed,
                standing=standing,
                reason=reason,
                probed=probed.top1 if probed else None,
            )
        )
    return judged


def _seen(candidate: Candidate, evidence: Evidence) -> Seen:
    timed = evidence.timed.get(candidate.name)
    rounds = timed.rounds if timed else {}
    return Seen(
        latency=list(rounds.get("latency", {}).values()),
        throughput=list(rounds.get("throughput", {}).values()),
        tops=tops_of(candidate, evidence),
        params=candidate.cost.params,
    )


def _standing(
    candidate: Candidate, evidence: Evidence, limits: Limits, objective: Objective
) -> tuple[Standing, str]:
    """Return a candidate's standing by what was measured of it alone, and the reason."""
    timed = evidence.timed.get(candidate.name)
    if timed is None or "latency" not in timed.rounds:
        reason = evidence.failures.get(candidate.name)
        return ("failed", reason) if reason else ("open", "not measured yet")
    if limits.memory is not None:
        if timed.memory is None:
            return "open", "peak memory not measured yet"
        if timed.memory > limits.memory:
            return "out", "over the limit of memory"
    if evidence.probed and candidate.name not in evidence.probed:
        return "out", "over the limit of latency, so its features were not probed"
    for metric in _timed_metrics(objective):
        estimate = timed.values.get(metric)
        if estimate is None or estimate.low is None:
            number = len(timed.rounds.get(metric, ()))
            return "open", f"{number} rounds in too few processes for an interval"
    return "in", ""


def _timed_metrics(objective: Objective) -> tuple[str, ...]:
    return ("latency", "throughput") if objective == "throughput" else ("latency",)
