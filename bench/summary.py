"""From records to rows: one row per model, policy, device and image size, its values as estimates.

Reads records and nothing else; knows no torch. A metric that arrives as a new file needs no line here: its unit and
direction stand in its records.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from bench.record import About, AccuracyArm, Arm, CountArm, Machine, Record, Sample, SpeedArm, samples
from bench.stats import Estimate, median_interval, proportion


@dataclass(frozen=True, order=True)
class Quantity:
    """What a value is of: a metric, for speeds at a batch size, with unit and direction."""

    metric: str
    batch_size: int = 0
    unit: str = ""
    better: str = "none"


@dataclass(kw_only=True)
class Row:
    """One line of the efficiency table. `rounds` holds, per quantity, one value per (run, round), for pairing."""

    model: str
    about: About
    image_size: int
    policy: str
    device: str
    values: dict[Quantity, Estimate] = field(default_factory=dict)
    rounds: dict[Quantity, dict[tuple[str, int], float]] = field(default_factory=dict)
    trouble: dict[str, str] = field(default_factory=dict)
    short: bool = False
    uncounted: dict[str, int] = field(default_factory=dict)

    def value(self, metric: str) -> Estimate | None:
        """The estimate of a metric; of several batch sizes the largest's."""
        found = [quantity for quantity in self.values if quantity.metric == metric]
        return self.values[max(found)] if found else None


@dataclass(kw_only=True)
class Accuracy:
    """One line of an accuracy table: a share of right answers with its binomial interval, and how it was got."""

    model: str
    about: About
    arm: AccuracyArm
    top1: Estimate | None
    detail: dict[str, object] = field(default_factory=dict)
    trouble: str | None = None


@dataclass(kw_only=True)
class Summary:
    """Everything that a report says about one machine."""

    machine: Machine
    rows: list[Row]
    accuracies: list[Accuracy]
    runs: int
    rounds: int
    disturbed: int
    windows: int
    notes: list[str]

    def accuracy_of(self, model: str, data: str) -> Accuracy | None:
        """The measured accuracy of a model on a data set."""
        return next((row for row in self.accuracies if row.model == model and row.arm.data == data and row.top1), None)


def summarise(records: Iterable[Record]) -> Summary:
    """One machine's records as rows. Only the newest state of its software counts; older runs are named in a note."""
    records = [record for record in records if record.runs]
    assert records, "nothing to summarise"
    newest = max((run for record in records for run in record.runs), key=lambda run: run.started).machine
    kept = [record.within(newest.fingerprint) for record in records]
    notes = [f"{record.path.name}: its torn last line was left out" for record in records if record.torn]
    if older := sum(1 for record in kept if not record.runs):
        notes.append(f"{older} records were measured under another state of this machine (versions, threads) and are not shown")
    kept = _newest_of_each([record for record in kept if record.runs])
    counts = {_shape(record.arm): record for record in kept if isinstance(record.arm, CountArm)}
    rows: dict[tuple[str, int, str, str], Row] = {}
    for record in kept:
        if isinstance(arm := record.arm, SpeedArm):
            row = rows.setdefault(
                (arm.model, arm.image_size, arm.policy, arm.device),
                Row(model=arm.model, about=record.head.about, image_size=arm.image_size, policy=arm.policy, device=arm.device),
            )
            _add_speeds(row, record, arm)
    for record in counts.values():
        of_shape = [row for row in rows.values() if (row.model, row.image_size) == _shape(record.arm)]
        for row in of_shape or [_counted_only(rows, record)]:
            _add_counts(row, record)
    speed_rounds = {(line.run, line.round): line for record in kept if isinstance(record.arm, SpeedArm) for line in record.rounds}
    return Summary(
        machine=newest,
        rows=list(rows.values()),
        accuracies=[_accuracy(record, record.arm) for record in kept if isinstance(record.arm, AccuracyArm)],
        runs=len({run.run for record in kept for run in record.runs}),
        rounds=len(speed_rounds),
        disturbed=sum(line.disturbed for line in speed_rounds.values()),
        windows=sum(len(line.samples) for record in kept if isinstance(record.arm, SpeedArm) for line in record.rounds),
        notes=notes,
    )


def _newest_of_each(records: list[Record]) -> list[Record]:
    """One record per arm: an edited model file or a changed protocol makes a new key, and the old one is history."""
    newest: dict[Arm, Record] = {}
    for record in sorted(records, key=lambda record: record.runs[-1].started):
        newest[msgspec.structs.replace(record.arm, source=None)] = record
    chosen = {record.path for record in newest.values()}
    return [record for record in records if record.path in chosen]


def _shape(arm: Arm) -> tuple[str, int]:
    return arm.model, arm.image_size


def _counted_only(rows: dict[tuple[str, int, str, str], Row], record: Record) -> Row:
    """A row for a model whose speed was not measured."""
    arm = record.arm
    row = Row(model=arm.model, about=record.head.about, image_size=arm.image_size, policy="", device="")
    return rows.setdefault((arm.model, arm.image_size, "", ""), row)


def _quantity(sample: Sample, batch_size: int = 0) -> Quantity:
    return Quantity(sample.metric, batch_size, sample.unit, sample.better)


def _add_counts(row: Row, record: Record) -> None:
    for line in record.rounds:
        for sample in line.samples:
            row.values[_quantity(sample)] = Estimate(sample.values[-1])
            row.uncounted |= sample.detail.get("uncounted", {})
    _add_trouble(row, record, "count")


def _add_speeds(row: Row, record: Record, arm: SpeedArm) -> None:
    seen = {_quantity(sample, arm.batch_size): sample for line in record.rounds for sample in line.samples}
    for quantity in seen:
        per_round = {at: statistics.median(sample.values) for at, sample in samples(record, quantity.metric)}
        row.rounds[quantity] = per_round
        row.values[quantity] = median_interval(list(per_round.values()))
    row.short |= bool(record.ends) and record.ends[-1].short
    _add_trouble(row, record, f"batch {arm.batch_size}")


def _add_trouble(row: Row, record: Record, where: str) -> None:
    if record.ends and record.ends[-1].status != "ok":
        row.trouble[where] = f"{record.ends[-1].status}: {record.ends[-1].error}"


def _accuracy(record: Record, arm: AccuracyArm) -> Accuracy:
    found = [sample for _, sample in samples(record, "top1")]
    end = record.ends[-1] if record.ends else None
    return Accuracy(
        model=arm.model,
        about=record.head.about,
        arm=arm,
        top1=proportion(found[-1].detail["correct"], found[-1].detail["images"]) if found else None,
        detail=found[-1].detail if found else {},
        trouble=f"{end.status}: {end.error}" if end and end.status != "ok" else None,
    )
