"""The rows that records become: speeds and counts of a model, probes of a machine, accuracies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from bench.analysis.published import Imported
from bench.forecast.past import Past
from bench.record.arms import AccuracyArm, At
from bench.record.arrays import read_arrays
from bench.record.schema import About, Machine
from bench.record.values import InProcess
from bench.stats.intervals import Estimate


@dataclass(frozen=True, order=True)
class Quantity:
    """A metric with its unit and direction; for speeds, at one batch size.

    `better` is "lower", "higher" or "none".
    """

    metric: str
    batch_size: int = 0
    unit: str = ""
    better: str = "none"

    @property
    def has_direction(self) -> bool:
        """True if a lower or a higher value is better."""
        return self.better != "none"


class LayerTime(NamedTuple):
    """One layer in one window: its path, kind of work, seconds and multiply-adds per call."""

    path: str
    kind: str
    seconds: float
    macs: float


@dataclass(kw_only=True)
class Row:
    """One model at one image size, under one policy, on one device.

    `rounds` has one value per run and round for each quantity, as measured; `trouble` has, by
    batch or metric, how a measurement failed.
    """

    model: str
    about: About
    image_size: int
    policy: str
    device: str
    values: dict[Quantity, Estimate] = field(default_factory=dict)
    rounds: dict[Quantity, dict[tuple[str, int], InProcess]] = field(default_factory=dict)
    fair: dict[Quantity, dict[tuple[str, int], InProcess]] = field(default_factory=dict)
    """The same values, corrected for the share of the CPU that other programs left to each window.
    Ratios are taken of these."""
    calls: dict[Quantity, list[list[float]]] = field(default_factory=dict)
    """The single calls of every window, from which percentiles of a latency are taken."""
    details: dict[Quantity, list[dict[str, Any]]] = field(default_factory=dict)
    """The details that each window's sample has next to its values."""
    trouble: dict[str, str] = field(default_factory=dict)
    short: bool = False
    """The time budget ended before the row had enough rounds."""
    handwritten: bool = False
    """It ran kernels that were written for certain models."""
    hopeless: bool = False
    """It was dropped early from the choice of a policy, far behind another one."""
    unsteady: bool = False
    """Its warm-up never settled."""
    precision: str | None = None
    """The precision of its policy; None in older records, where only the policy's name tells."""
    agreements: list[dict[str, Any]] = field(default_factory=list)
    """How far the logits of each timed process agree with float32 eager execution, by the names of
    `Setup`; older records say nothing."""
    counted: set[Quantity] = field(default_factory=set)
    """The quantities that are counts, which no policy changes."""
    uncounted: dict[str, int] = field(default_factory=dict)
    """Operators that the MAC count leaves out, with their number of calls."""
    records: list[str] = field(default_factory=list)
    """The names of the files that the row was read from."""
    given: str = ""
    """The name that the user gave the model for reports; empty without one."""

    @property
    def family(self) -> str:
        """The model's family."""
        return self.about.family

    @property
    def shape(self) -> tuple[str, int]:
        """The model and the image size, on which counts and published values depend."""
        return self.model, self.image_size

    @property
    def label(self) -> str:
        """The model as reports show it. `model` is what it is measured and found by."""
        return self.given or self.model

    @property
    def name(self) -> str:
        """The model as reports show it, marked with † if its kernels are handwritten."""
        return f"{self.label} †" if self.handwritten else self.label

    def quantity(self, metric: str) -> Quantity | None:
        """Return the quantity of a metric at its largest batch size; None without one."""
        return max((one for one in self.values if one.metric == metric), default=None)

    def value(self, metric: str) -> Estimate | None:
        """Return the estimate of a metric at its largest batch size; None without one."""
        quantity = self.quantity(metric)
        return self.values[quantity] if quantity else None

    def exact(self, metric: str) -> float:
        """Return the value of a metric that the row must have."""
        value = self.value(metric)
        assert value is not None
        return value.value

    def layer_windows(self) -> Iterator[tuple[At, InProcess, list[LayerTime]]]:
        """Yield every window that timed layers: run and round, seconds of them all, and each."""
        for quantity, details in self.details.items():
            if quantity.metric == "layer_time":
                for (at, total), detail in zip(self.rounds[quantity].items(), details, strict=True):
                    yield at, total, [LayerTime(*layer) for layer in detail["layers"]]

    def layer_rates(self, kind: str) -> dict[At, InProcess]:
        """Return the multiply-adds per second of all layers of a kind, by run and round.

        Empty if no layer is of that kind, or if none was timed.
        """
        rates: dict[At, InProcess] = {}
        for at, total, layers in self.layer_windows():
            of_kind = [layer for layer in layers if layer.kind == kind]
            seconds = sum(layer.seconds for layer in of_kind)
            macs = sum(layer.macs for layer in of_kind)
            if seconds > 0 and macs > 0:
                rates[at] = InProcess(macs / seconds, total.process)
        return rates

    def by_batch(self, metric: str) -> dict[int, float]:
        """Return the medians of a metric by batch size."""
        medians: dict[int, float] = {}
        for quantity, value in self.values.items():
            if quantity.metric == metric:
                medians[quantity.batch_size] = value.value
        return medians


def ranked_quantities(rows: Iterable[Row | Accuracy]) -> set[Quantity]:
    """Return the quantities of some rows or accuracies that have a better direction."""
    quantities: set[Quantity] = set()
    for row in rows:
        quantities.update(row.values)
    return {quantity for quantity in quantities if quantity.has_direction}


@dataclass(kw_only=True)
class Probe:
    """The rates of one machine in one precision: by metric, one value per run and round.

    `shapes` names, in the same way, the fastest of the shapes that were tried.
    """

    precision: str
    rounds: dict[str, dict[tuple[str, int], InProcess]]
    shapes: dict[str, dict[tuple[str, int], str]] = field(default_factory=dict)


TIMES = ("train_s", "images_per_s")
"""Details of a training run that depend on what else the machine did."""


@dataclass(kw_only=True)
class Accuracy:
    """One set of weights evaluated on one split.

    `top1` is the share of right answers with its binomial interval; None if it was not measured,
    and `trouble` says why. `detail` are the sample's details.
    """

    model: str
    about: About
    arm: AccuracyArm
    top1: Estimate | None
    detail: dict[str, Any] = field(default_factory=dict)
    values: dict[Quantity, float] = field(default_factory=dict)
    """Values of other metrics for the same weights."""
    fields: dict[str, Any] = field(default_factory=dict)
    """Effective receptive fields before and after training, if they were measured."""
    fields_file: str | None = None
    trouble: str | None = None
    path: Path = Path()
    arrays_file: str | None = None
    timed: bool = True
    """False if the machine was in another state then (versions, threads): no time is its own."""
    given: str = ""
    """The name that the user gave the model for reports; empty without one."""

    @property
    def family(self) -> str:
        """The model's family; "baseline" for a data set's baseline."""
        return self.about.family

    @property
    def label(self) -> str:
        """The model as reports show it. `model` is what it is measured and found by."""
        return self.given or self.model

    @property
    def name(self) -> str:
        """The model as reports show it, with the tag or checkpoint of its weights."""
        if self.arm.weights:
            return f"{self.label}@{self.arm.weights}"
        return f"{self.label} ({self.arm.checkpoint})" if self.arm.checkpoint else self.label

    def says(self, name: str) -> float | None:
        """Return a number that the training run reports; None without one.

        There are no times of training runs that shared the machine with others.
        """
        value = self.detail.get(name)
        alone = self.timed and self.detail.get("beside", 1) == 1
        return None if value is None or (name in TIMES and not alone) else float(value)

    @property
    def status(self) -> str:
        """The end in a word: `ok`, `at chance`, or the kind of failure."""
        if self.top1 is None:
            return (self.trouble or "").partition(":")[0]
        return "at chance" if (self.top1.low or 0) <= self.chance else "ok"

    @property
    def chance(self) -> float:
        """The top-1 of guessing, or of always answering the most frequent class if higher."""
        return max(1 / self.arm.num_classes, self.detail.get("commonest_class", 0.0))

    @cached_property
    def arrays(self) -> dict[str, Any]:
        """Curves and per-image answers from the file next to the record; empty without one."""
        return read_arrays(self.path, self.arrays_file) if self.arrays_file else {}


class Asked(NamedTuple):
    """A study that a run was made for; for a training run, with its data and recipe."""

    study: str
    hash: str
    """The hash of the study's question at the time of the run (bench/claims/questions.py)."""
    data: str = ""
    """The data set of a training run; empty for speeds."""
    recipe: str = ""


@dataclass(kw_only=True, eq=False)
class Summary:
    """Everything that a report says about one machine.

    `best` has one row per model under the policy chosen for it, measured in rounds that did not
    choose it, and the handwritten policies measured in those rounds. `sentinels` are the rows of
    the A/A check's pair, asked for or not. `disturbed` counts the windows, of all `windows`,
    during which other programs were using the CPU.
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
    names: dict[str, str] = field(default_factory=dict)
    """The names given to models for reports, by model."""
    protocols: set[tuple[str, str]] = field(default_factory=set)
    """Kinds of arms with the measuring protocol of their records (docs/METHOD.md)."""
    imported: Imported = field(default_factory=Imported)
    """Others' measurements, added by `bench import`."""
    past: Past = field(default_factory=Past)
    """The time that arms took on this machine, by all records of its present state."""

    @cached_property
    def counted(self) -> set[str]:
        """The metrics that are counts."""
        quantities = chain.from_iterable(map(attrgetter("counted"), self.rows))
        return set(map(attrgetter("metric"), quantities))

    @property
    def image_sizes(self) -> list[int]:
        """The image sizes of all rows in pixels, the largest first."""
        return sorted(set(map(attrgetter("image_size"), self.rows)), reverse=True)

    def at(self, image_size: int) -> list[Row]:
        """Return the rows at one image size."""
        return [row for row in self.rows if row.image_size == image_size]

    def count(self, model: str, metric: str) -> Estimate | None:
        """Return a count of a model from its first row that has it; None without one."""
        for row in self.rows:
            value = row.value(metric) if row.model == model else None
            if value:
                return value
        return None

    def probe(self, precision: str) -> Probe | None:
        """Return the probe of a precision; None without one."""
        return next((probe for probe in self.probes if probe.precision == precision), None)


def by_speed(row: Row) -> tuple[float, str]:
    """Return the sort key of tables of speeds: highest throughput first, then by model."""
    speed = row.value("throughput")
    return (-(speed.value if speed else 0.0), row.model)
