"""Rounds in which candidates leave early: those that cannot be the best any more."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from bench.measure.subject.agreement import FEWEST
from bench.pick.candidates import Candidate
from bench.pick.limits import Limits, Objective
from bench.pick.standing import CLEAR_AFTER, Seen, leaving
from bench.run.arm_run import ArmRun

CHECK_IMAGES = FEWEST
"""Images on which an execution is compared with float32 eager: as many as for those that are too
slow for all. With all of them, the check would take longer than the rounds."""


@dataclass
class CandidateRace:
    """The rule by which candidates leave a series of rounds.

    A candidate is judged by its fastest policy. `room` is for policies that are still to come.
    """

    candidates: Sequence[Candidate]
    limits: Limits
    objective: Objective
    room: float = 1.0
    choosing: float = 0.5
    """Share of the time in which policies are chosen, if there are several."""
    check_images: int = CHECK_IMAGES
    left: dict[str, str] = field(default_factory=dict)
    """The candidates that left, with the reason."""

    def leaving(self, arm_runs: Sequence[ArmRun]) -> list[ArmRun]:
        """Return the arms of candidates that cannot be the best any more."""
        mine = [arm_run for arm_run in arm_runs if arm_run.role == "asked"]
        seen = {found.name: self._seen(found, mine) for found in self.candidates}
        gone = leaving(
            seen,
            self.limits.latency,
            self.objective,
            room=self.room,
            sure=self.limits.memory is None,
        )
        self.left |= gone
        return [arm_run for arm_run in mine if arm_run.arm.model in gone]

    def _seen(self, candidate: Candidate, arm_runs: Sequence[ArmRun]) -> Seen:
        """Return what is known of a candidate, under the policy with the lowest latency so far."""
        latencies: list[list[float]] = []
        speeds: list[list[float]] = []
        for arm_run in arm_runs:
            if arm_run.arm.model == candidate.name and arm_run.status in (None, "ok"):
                latencies.append(list(arm_run.all_values("latency").values()))
                speeds.append(list(arm_run.all_values("throughput").values()))
        return Seen(
            latency=min(_judged(latencies), key=_middle, default=[]),
            throughput=max(_judged(speeds), key=_middle, default=[]),
            tops=candidate.tops,
            params=candidate.cost.params,
        )


def _judged(each: list[list[float]]) -> list[list[float]]:
    """Return the values of policies with rounds enough to judge by."""
    return [values for values in each if len(values) >= CLEAR_AFTER]


def _middle(values: Collection[float]) -> float:
    return sorted(values)[len(values) // 2]
