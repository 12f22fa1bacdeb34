"""What is known of candidates as draws: of their speeds within the limits, and of their top-1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bench.pick.candidates import Candidate
from bench.pick.limits import Limits, Objective
from bench.pick.timed import Timed
from bench.stats import choice
from bench.stats.intervals import Estimate

SEED = 0


@dataclass(frozen=True, kw_only=True)
class Probed:
    """The outcome of a head on frozen features: which test images were right, the same for all."""

    right: Sequence[bool]
    top1: Estimate


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of some candidates, by name."""

    timed: Mapping[str, Timed]
    failures: Mapping[str, str] = field(default_factory=dict)
    probed: Mapping[str, Probed] = field(default_factory=dict)


def tops_of(candidate: Candidate, evidence: Evidence) -> Sequence[float]:
    """Return the top-1 that a candidate may have: its weight sets', or the ends of its probe's."""
    probed = evidence.probed.get(candidate.name)
    if probed is None:
        return candidate.tops
    low, high = probed.top1.low, probed.top1.high
    return (low, high) if low is not None and high is not None else ()


@dataclass(frozen=True)
class Shares:
    """Shares of draws: won by each candidate, by name, by none, and those that are undecided."""

    best: Mapping[str, float]
    none: float
    undecided: float


@dataclass(frozen=True)
class Draws:
    """Draws of candidates that have intervals.

    `latency` are logarithms of seconds, `within` is True within the limits; both (draws,
    candidates).
    """

    candidates: Sequence[Candidate]
    evidence: Evidence
    latency: Any
    within: Any
    random: Any

    @classmethod
    def of(cls, candidates: Sequence[Candidate], evidence: Evidence, limits: Limits) -> Draws:
        """Draw the latencies of candidates, each with an interval."""
        import numpy as np

        random = np.random.default_rng(SEED)
        timed = [evidence.timed[one.name].rounds["latency"] for one in candidates]
        latency = choice.log_levels(timed, random)
        assert latency is not None, "a candidate without an interval is not in the running"
        within = np.ones(latency.shape, dtype=bool)
        if limits.latency is not None:
            within = latency <= np.log(limits.latency)
        return cls(candidates, evidence, latency, within, random)

    @cached_property
    def shares_within(self) -> dict[str, float]:
        """Each candidate's probability to be within the limits, by name."""
        shares = self.within.mean(axis=0)
        return {one.name: float(share) for one, share in zip(self.candidates, shares, strict=True)}

    def share_beating(self, tops: Sequence[float]) -> float:
        """Return the probability that a candidate is within the limits whose lowest top-1 is above
        all of these."""
        places = []
        for place, one in enumerate(self.candidates):
            mine = tops_of(one, self.evidence)
            if mine and tops and min(mine) > max(tops):
                places.append(place)
        return float(self.within[:, places].any(axis=1).mean()) if places else 0.0

    def best(self, objective: Objective, unknown: Sequence[Candidate]) -> Shares:
        """Return how likely each candidate is the best within the limits.

        `unknown` are others whose speed is not known: a draw is undecided if one of them would be
        better than its winner, were it within the limits.
        """
        import numpy as np

        if not self.candidates:
            return Shares({}, 0.0, 1.0) if unknown else Shares({}, 1.0, 0.0)
        keys = self._keys(objective)
        winner = choice.winners(self.within, keys)
        first = np.take_along_axis(keys[0], np.maximum(winner, 0)[:, None], axis=1)[:, 0]
        bounds = [self._best_case(one, objective) for one in unknown]
        undecided = np.full(len(winner), False)
        if bounds:
            undecided = (winner < 0) | (first >= min(bounds))
        shares = choice.shares_of(np.where(undecided, -1, winner), len(self.candidates))
        names = [one.name for one in self.candidates]
        none = float(((winner < 0) & ~undecided).mean())
        return Shares(dict(zip(names, shares, strict=True)), none, float(undecided.mean()))

    def _best_case(self, one: Candidate, objective: Objective) -> float:
        """Return the lowest first key that a candidate of unknown speed may have."""
        if objective == "params":
            return float(one.cost.params)
        tops = tops_of(one, self.evidence)
        return -max(tops) if objective == "top1" and tops else -math.inf

    def _keys(self, objective: Objective) -> list[Any]:
        """Return what decides in each draw (draws, candidates), the lowest first."""
        import numpy as np

        if objective == "latency":
            return [self.latency]
        if objective == "params":
            params = np.array([float(one.cost.params) for one in self.candidates])
            return [np.broadcast_to(params, self.latency.shape), self.latency]
        if objective == "throughput":
            timed = [self.evidence.timed[one.name].rounds["throughput"] for one in self.candidates]
            speeds = choice.log_levels(timed, self.random)
            assert speeds is not None, "a candidate without an interval is not in the running"
            return [-speeds, self.latency]
        if self.evidence.probed:
            right = [self.evidence.probed[one.name].right for one in self.candidates]
            return [-choice.resampled(right, self.random), self.latency]
        tops = [choice.one_of(one.tops or (0.0,), self.random) for one in self.candidates]
        return [-np.stack(tops, axis=1), self.latency]
