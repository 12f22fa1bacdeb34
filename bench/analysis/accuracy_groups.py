"""Accuracies put together: all seeds of a model under one protocol, and the protocols apart."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from bench.analysis.rows import Accuracy, Quantity, Summary
from bench.record.arms import AccuracyArm
from bench.stats import lr_search
from bench.stats.intervals import Estimate, mean_of_seeds

Key = tuple[str, str, str, str, str]
"""Data, labels, recipe, tuning, what is equal: what two accuracies of one table share."""


@dataclass
class Contestant:
    """All seeds of one model under one protocol, or one set of weights."""

    name: str
    rows: list[Accuracy]

    @property
    def measured(self) -> list[Accuracy]:
        """The seeds that ended with a number."""
        return [row for row in self.rows if row.top1]

    @property
    def top1(self) -> Estimate | None:
        """Over seeds Student's interval; of one set of weights the binomial one."""
        found = self.measured
        if len(found) > 1:
            over = mean_of_seeds([row.top1.value for row in found if row.top1])
            return Estimate(
                over.value, max(0.0, over.low or 0.0), min(1.0, over.high or 0.0), over.n
            )
        return found[0].top1 if found else None

    @property
    def others(self) -> list[Quantity]:
        """What other metrics with a direction gave for the same weights."""
        found = {quantity for row in self.measured for quantity in row.values}
        return sorted(quantity for quantity in found if quantity.better != "none")

    def value(self, quantity: Quantity) -> Estimate | None:
        """What another metric gave for the same weights, over seeds with Student's interval."""
        values = [row.values[quantity] for row in self.measured if quantity in row.values]
        return mean_of_seeds(values) if values else None

    def detail(self, name: str) -> float | None:
        """The median of what the trainings say of themselves."""
        values = [found for row in self.measured if (found := row.says(name)) is not None]
        return statistics.median(values) if values else None


def protocol(arm: AccuracyArm) -> Key:
    """What has to be equal for two accuracies to stand in one table."""
    recipe = f"recipe {arm.recipe} {arm.recipe_hash}" if arm.recipe else "weights as they are"
    stretched = f"equal {arm.equalise}" if arm.equalise and arm.equalise != "epochs" else ""
    tuning = arm.tuning if arm.tuning not in (None, lr_search.AS_IS) else ""
    return (arm.data, f"labels {arm.labels}" if arm.labels else "", recipe, tuning or "", stretched)


def trained_rows(summary: Summary) -> dict[Key, list[Contestant]]:
    """Everything that was tested, by protocol; trials of a search and baselines are not among them.

    Weights that were shown images in two ways are two contestants, and not two seeds of one.
    """
    rows = [row for row in summary.accuracies if row.arm.split == "test" and not row.arm.baseline]
    found: dict[Key, list[Contestant]] = {}

    def order(row: Accuracy) -> tuple[Key, str, int, str]:
        return protocol(row.arm), row.name, row.arm.image_size, row.arm.transform

    ways = Counter((key, name) for key, name, _, _ in {order(row) for row in rows})
    for (key, name, size, transform), same in groupby(sorted(rows, key=order), key=order):
        full = name if ways[key, name] == 1 else f"{name} at {size} px, {transform}"
        found.setdefault(key, []).append(
            Contestant(full, sorted(same, key=lambda row: row.arm.seed or 0))
        )
    return found


def curves(contestant: Contestant) -> list[tuple[Accuracy, dict[str, Any]]]:
    """The trainings of a contestant that have looks at the select split, with their arrays."""
    found = [(row, row.arrays) for row in contestant.measured if row.arrays_file and row.arm.recipe]
    return [(row, arrays) for row, arrays in found if len(arrays.get("select_top1", ()))]


def images_per_step(row: Accuracy) -> float:
    """The global batch of a training, from what it says of itself."""
    return (
        float(row.detail["images_per_s"])
        * float(row.detail["train_s"])
        / float(row.detail["steps"])
    )
