"""Which arms are compared with which, and how well each comparison is known."""

from __future__ import annotations

import math

from bench.plugins import Metric
from bench.run.arm_run import ArmRun
from bench.stats.intervals import Estimate
from bench.stats.paired import level, paired_ratio
from bench.stats.reference import reference_model


class Pairing:
    """Compares each arm with the reference model's arm of the same policy, batch and image size."""

    def __init__(self, arm_runs: list[ArmRun]) -> None:
        self._arm_runs = arm_runs
        models = [
            (arm_run.arm.model, arm_run.task.about.family)
            for arm_run in arm_runs
            if arm_run.contestant
        ]
        self._reference = reference_model(models) if models else ""

    def partner(self, arm_run: ArmRun) -> ArmRun | None:
        """Return the reference arm that an arm is compared with, which may be itself."""
        for other in self._arm_runs:
            if other.arm.model == self._reference and other.arm.comparable_with(arm_run.arm):
                return other
        return None

    def precision(self, arm_run: ArmRun, metric: Metric) -> Estimate | None:
        """Return the estimate whose interval the target is for; None before there are values.

        This is the ratio to the reference. A reference is as well known as the least known of the
        ratios to it, so that it ends with the last of them. An arm without any pair has its own
        median.
        """
        partner = self.partner(arm_run)
        if partner is not None and partner is not arm_run:
            return paired_ratio(arm_run.all_values(metric.name), partner.all_values(metric.name))
        ratios = self._ratios_to(arm_run, metric)
        if ratios:
            return max(ratios, key=_width)
        values = arm_run.all_values(metric.name)
        return level(values) if values else None

    def _ratios_to(self, reference: ArmRun, metric: Metric) -> list[Estimate]:
        """Return the known ratios of arms that were asked for to a reference arm."""
        ratios: list[Estimate] = []
        for other in self._arm_runs:
            if other is reference or other.role != "asked" or metric not in other.task.metrics:
                continue
            ratio = self.precision(other, metric) if self.partner(other) is reference else None
            if ratio is not None:
                ratios.append(ratio)
        return ratios


def _width(estimate: Estimate) -> float:
    return math.inf if estimate.relative is None else estimate.relative
