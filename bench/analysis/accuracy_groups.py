"""Accuracies in groups: the seeds of a model together, different protocols apart."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from typing import Any

from bench.analysis.groups import grouped
from bench.analysis.rows import Accuracy, Quantity, Summary, ranked_quantities
from bench.record.arms import AccuracyArm
from bench.stats import lr_search
from bench.stats.intervals import Estimate, mean_of_seeds


@dataclass(frozen=True)
class Protocol:
    """Everything that two accuracies must share to stand in one table.

    None means: the data set's own labels, published weights instead of a recipe, a recipe without a
    search for its learning rate, equal epochs for all models, or weights that were evaluated in
    float32 by eager execution.
    """

    data: str
    labels: str | None = None
    recipe: str | None = None
    recipe_hash: str | None = None
    tuning: str | None = None
    equalise: str | None = None
    policy: str | None = None

    @classmethod
    def of(cls, arm: AccuracyArm) -> Protocol:
        """Return the protocol under which an arm was measured."""
        tuned = arm.tuning != lr_search.AS_IS
        return cls(
            data=arm.data,
            labels=arm.labels or None,
            recipe=arm.recipe or None,
            recipe_hash=arm.recipe_hash if arm.recipe else None,
            tuning=(arm.tuning or None) if tuned else None,
            equalise=(arm.equalise or None) if arm.equalise != "epochs" else None,
            policy=None if arm.trains else arm.policy,
        )

    @property
    def labelling(self) -> str:
        """`labels real`; empty for the data set's own labels."""
        return f"labels {self.labels}" if self.labels else ""

    @property
    def training(self) -> str:
        """`recipe digits 1a2b`, or `weights as they are`."""
        return f"recipe {self.recipe} {self.recipe_hash}" if self.recipe else "weights as they are"

    @property
    def budget(self) -> str:
        """`equal macs`; empty for equal epochs."""
        return f"equal {self.equalise}" if self.equalise else ""

    @property
    def execution(self) -> str:
        """`under bf16`; empty for float32 eager execution."""
        return f"under {self.policy}" if self.policy else ""

    @property
    def adjustments(self) -> list[str]:
        """Changes in words: the search for the learning rate, the budget, the policy of weights."""
        return list(filter(None, (self.tuning, self.budget, self.execution)))

    @property
    def conditions(self) -> list[str]:
        """Everything but the data, in words."""
        return [*filter(None, (self.labelling, self.training)), *self.adjustments]

    @property
    def parts(self) -> list[str]:
        """The data and all conditions, in words."""
        return [*filter(None, (self.data,)), *self.conditions]

    @property
    def label(self) -> str:
        """All parts in one line."""
        return ", ".join(self.parts)

    @property
    def sort_key(self) -> tuple[str, ...]:
        """The order of tables: by data, labels, training, tuning, budget and policy."""
        return (
            self.data,
            self.labelling,
            self.training,
            self.tuning or "",
            self.budget,
            self.execution,
        )


@dataclass
class Contestant:
    """All seeds of one model under one protocol, or one set of weights."""

    name: str
    rows: list[Accuracy]

    @property
    def first(self) -> Accuracy:
        """The first seed, for everything that all seeds share."""
        return self.rows[0]

    @property
    def family(self) -> str:
        """The model's family."""
        return self.first.family

    @property
    def measured(self) -> list[Accuracy]:
        """The seeds that have a top-1."""
        return [row for row in self.rows if row.top1]

    @property
    def shares(self) -> list[float]:
        """The top-1 of every measured seed, from 0 to 1."""
        return [row.top1.value for row in self.rows if row.top1]

    @property
    def top1(self) -> Estimate | None:
        """Top-1 from 0 to 1: Student's interval over several seeds, else the binomial one.

        None if no seed was measured.
        """
        measured = self.measured
        if len(measured) < 2:
            return measured[0].top1 if measured else None
        mean = mean_of_seeds(self.shares)
        low, high = max(0.0, mean.low or 0.0), min(1.0, mean.high or 0.0)
        return Estimate(mean.value, low, high, mean.n)

    @property
    def others(self) -> list[Quantity]:
        """Quantities with a better direction that other metrics measured on the same weights."""
        return sorted(ranked_quantities(self.measured))

    def value(self, quantity: Quantity) -> Estimate | None:
        """Return the mean of another metric over seeds; None if no seed has it."""
        values = [row.values[quantity] for row in self.measured if quantity in row.values]
        return mean_of_seeds(values) if values else None

    def detail(self, name: str) -> float | None:
        """Return the median over seeds of a number that training reports; None without one."""
        values = self.details(name)
        return statistics.median(values) if values else None

    def details(self, name: str) -> list[float]:
        """Return a number that training reports, for every seed that has it."""
        values = []
        for row in self.measured:
            value = row.says(name)
            if value is not None:
                values.append(value)
        return values


def contestants_by_protocol(summary: Summary) -> dict[Protocol, list[Contestant]]:
    """Return everything evaluated on a test split, without a data set's baselines.

    One set of weights that was shown images in two ways gives two contestants, not two seeds.
    """
    tested = [row for row in summary.accuracies if row.arm.split == "test" and not row.arm.baseline]
    groups = grouped(tested, _same_contestant)
    ways = Counter(group[:2] for group in groups)
    contestants: dict[Protocol, list[Contestant]] = {}
    for group in sorted(groups, key=lambda group: (group[0].sort_key, *group[1:])):
        protocol, name, size, transform = group
        if ways[protocol, name] > 1:
            name = f"{name} at {size} px, {transform}"
        seeds = sorted(groups[group], key=lambda row: row.arm.seed or 0)
        contestants.setdefault(protocol, []).append(Contestant(name, seeds))
    return contestants


def _same_contestant(row: Accuracy) -> tuple[Protocol, str, int, str]:
    """Return the key that all seeds of a contestant share."""
    return Protocol.of(row.arm), row.name, row.arm.image_size, row.arm.transform


def curves(contestant: Contestant) -> list[tuple[Accuracy, dict[str, Any]]]:
    """Return the training runs that have a curve of validation accuracy, with their arrays."""
    found = []
    for row in contestant.measured:
        if row.arrays_file and row.arm.recipe and len(row.arrays.get("select_top1", ())):
            found.append((row, row.arrays))
    return found


def images_per_step(row: Accuracy) -> float:
    """Return the global batch size of a training run, derived from its speed, time and steps."""
    images = float(row.detail["images_per_s"]) * float(row.detail["train_s"])
    return images / float(row.detail["steps"])
