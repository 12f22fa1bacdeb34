"""One row of a report, a probe or an accuracy, with its values as estimates."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from bench.analysis.published import Imported
from bench.forecast.past import Past
from bench.record.arms import AccuracyArm
from bench.record.arrays import read_arrays
from bench.record.schema import About, Machine
from bench.record.values import InProcess
from bench.stats.intervals import Estimate


@dataclass(frozen=True, order=True)
class Quantity:
    """What a value is of: a metric, for speeds at a batch size, with unit and direction."""

    metric: str
    batch_size: int = 0
    unit: str = ""
    better: str = "none"


@dataclass(kw_only=True)
class Row:
    """One line of the efficiency table. `rounds` holds, per quantity, one value per (run, round)."""

    model: str
    about: About
    image_size: int
    policy: str
    device: str
    values: dict[Quantity, Estimate] = field(default_factory=dict)
    rounds: dict[Quantity, dict[tuple[str, int], InProcess]] = field(default_factory=dict)
    fair: dict[Quantity, dict[tuple[str, int], InProcess]] = field(default_factory=dict)
    """The same, each held against what others left of the processors to its window: what ratios are taken of."""
    calls: dict[Quantity, list[list[float]]] = field(default_factory=dict)
    """The single values of every window: what percentiles of a latency are taken from."""
    details: dict[Quantity, list[dict[str, Any]]] = field(default_factory=dict)
    """What stands beside the values of each window."""
    trouble: dict[str, str] = field(default_factory=dict)
    short: bool = False
    handwritten: bool = False
    """It ran kernels written for some models alone."""
    hopeless: bool = False
    """It left the choosing of a policy early, far behind another one."""
    unsteady: bool = False
    """Its warm-up never came to agree with itself."""
    precision: str | None = None
    """What its policy computes in; None in older records, where the policy's name alone says it."""
    counted: set[Quantity] = field(default_factory=set)
    """Which of the values are counts: no policy changes them."""
    uncounted: dict[str, int] = field(default_factory=dict)
    records: list[str] = field(default_factory=list)
    """The names of the files that it was read from."""

    @property
    def name(self) -> str:
        """The model, marked where its kernels are handwritten."""
        return f"{self.model} †" if self.handwritten else self.model

    def quantity(self, metric: str) -> Quantity | None:
        """What a metric was measured as; of several batch sizes the largest."""
        return max(
            (quantity for quantity in self.values if quantity.metric == metric), default=None
        )

    def value(self, metric: str) -> Estimate | None:
        """The estimate of a metric; of several batch sizes the largest's."""
        found = self.quantity(metric)
        return self.values[found] if found else None

    def by_batch(self, metric: str) -> dict[int, float]:
        """The medians of a metric by batch size."""
        return {
            quantity.batch_size: value.value
            for quantity, value in self.values.items()
            if quantity.metric == metric
        }


@dataclass(kw_only=True)
class Probe:
    """What a probe of the machine gave: per metric one value per (run, round), and which shape was the fastest then."""

    precision: str
    rounds: dict[str, dict[tuple[str, int], InProcess]]
    shapes: dict[str, dict[tuple[str, int], str]] = field(default_factory=dict)


TIMES = ("train_s", "images_per_s")
"""What a training says of itself that depends on what else the machine did."""


@dataclass(kw_only=True)
class Accuracy:
    """One set of weights on one split: a share of right answers with its binomial interval, and how it was got."""

    model: str
    about: About
    arm: AccuracyArm
    top1: Estimate | None
    detail: dict[str, Any] = field(default_factory=dict)
    values: dict[Quantity, float] = field(default_factory=dict)
    """What other metrics gave for the same weights."""
    fields: dict[str, Any] = field(default_factory=dict)
    """The effective receptive fields before and after training, where they were asked for."""
    fields_file: str | None = None
    trouble: str | None = None
    path: Path = Path()
    arrays_file: str | None = None

    @property
    def name(self) -> str:
        """The model with what tells its weights from others."""
        return self.model + (
            f"@{self.arm.weights}"
            if self.arm.weights
            else f" ({self.arm.checkpoint})"
            if self.arm.checkpoint
            else ""
        )

    def says(self, name: str) -> float | None:
        """A number that the training says of itself; none of its times where others shared the machine."""
        found = self.detail.get(name)
        return (
            None
            if found is None or (name in TIMES and self.detail.get("beside", 1) > 1)
            else float(found)
        )

    @property
    def status(self) -> str:
        """How it ended in a word; no better than guessing is a way to end."""
        if self.top1 is None:
            return (self.trouble or "").partition(":")[0]
        return "at chance" if (self.top1.low or 0) <= self.chance else "ok"

    @property
    def chance(self) -> float:
        """What is reached without looking at an image: by guessing, or by always answering the most frequent class."""
        return max(1 / self.arm.num_classes, self.detail.get("commonest_class", 0.0))

    @cached_property
    def arrays(self) -> dict[str, Any]:
        """Curves and per-image correctness from the file beside the record; empty where there is none."""
        return read_arrays(self.path, self.arrays_file) if self.arrays_file else {}


class Asked(NamedTuple):
    """A study that a run was made for, and what that run was."""

    study: str
    hash: str
    """Of the study's question when the run was made (bench/claims/questions.py)."""
    data: str = ""
    """Data set of a training; empty for speeds."""
    recipe: str = ""


@dataclass(kw_only=True, eq=False)
class Summary:
    """Everything that a report says about one machine.

    `best` has one row per model: its chosen policy, measured on rounds that did not choose it, and beside it the
    handwritten ones that were measured in those rounds. `sentinels` are the rows
    of the sentinel pair, whether or not somebody asked for them.
    """

    machine: Machine
    rows: list[Row]
    best: list[Row]
    sentinels: list[Row]
    probes: list[Probe]
    accuracies: list[Accuracy]
    disturbed: int
    windows: int
    notes: list[str]
    studied: set[Asked] = field(default_factory=set)
    protocols: set[tuple[str, str]] = field(default_factory=set)
    """Kind of arm and the measuring protocol that its records carry (docs/METHOD.md)."""
    imported: Imported = field(default_factory=Imported)
    """What others measured, put beside these results by `bench import`."""
    past: Past = field(default_factory=Past)
    """What arms cost here, by all records of this state of the machine."""

    def probe(self, precision: str) -> Probe | None:
        """The probe of a precision."""
        return next((probe for probe in self.probes if probe.precision == precision), None)


def by_speed(row: Row) -> tuple[float, str]:
    speed = row.value("throughput")
    return (-(speed.value if speed else 0.0), row.model)
