"""Arms that leave the rounds early: policies that are far behind, and what a race has decided."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from bench.record.arms import Arm, SpeedArm
from bench.run.arm_run import ArmRun

HOPELESS, HOPELESS_AFTER = 2.0, 2
"""A policy leaves if another one of its model was this many times as good, in every metric, in
each of at least this many common rounds."""


class Race(Protocol):
    """A rule by which arms leave the rounds once what was asked needs no more of them."""

    choosing: float
    """Share of the time budget in which policies are chosen."""
    check_images: int
    """Images on which the first process of an arm is compared with float32 eager execution."""

    def leaving(self, arm_runs: Sequence[ArmRun]) -> Iterable[ArmRun]:
        """Return the arms that are to leave, given what all have measured so far."""
        ...


def end_early(race: Race, arm_runs: Sequence[ArmRun]) -> None:
    """Mark the arms that leave by the rule of a race."""
    for arm_run in race.leaving(arm_runs):
        arm_run.out = True


def mark_hopeless(arm_runs: list[ArmRun]) -> None:
    """Mark the policies that another one of the same model beats by far.

    Handwritten kernels are not chosen from: they neither leave nor make others leave.
    """
    competing = [arm_run for arm_run in arm_runs if arm_run.contestant and not arm_run.handwritten]
    for arm_run in competing:
        if arm_run.alive and not arm_run.hopeless:
            arm_run.hopeless = any(_beats(other, arm_run) for other in competing)


def _beats(other: ArmRun, arm_run: ArmRun) -> bool:
    rivals = other is not arm_run and _differ_in_policy_only(other.arm, arm_run.arm)
    return rivals and _far_behind(arm_run, other)


def _differ_in_policy_only(left: Arm, right: Arm) -> bool:
    if not (isinstance(left, SpeedArm) and isinstance(right, SpeedArm)):
        return False
    return msgspec.structs.replace(left, policy=right.policy) == right


def _far_behind(arm_run: ArmRun, other: ArmRun) -> bool:
    """True if `other` was far better in all common rounds of every metric."""
    metrics = arm_run.metrics_of_all_rounds
    for metric in metrics:
        mine, theirs = arm_run.all_values(metric.name), other.all_values(metric.name)
        sign = 1 if metric.better == "higher" else -1
        leads = [sign * math.log(theirs[at] / mine[at]) for at in mine if at in theirs]
        if len(leads) < HOPELESS_AFTER or min(leads) < math.log(HOPELESS):
            return False
    return bool(metrics)
