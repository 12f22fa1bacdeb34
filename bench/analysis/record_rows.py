"""Rows made from records: speeds, counts, probes and accuracies.

A new metric needs no change here: its unit and direction are in its records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

from bench.analysis.rows import Accuracy, Probe, Quantity, Row
from bench.record.arms import AccuracyArm, CountArm, ProbeArm, SpeedArm
from bench.record.schema import Sample
from bench.record.store import Record, end_of, troubles
from bench.record.values import MEASURED, fair_per_round, per_round, samples
from bench.stats.intervals import Estimate, proportion
from bench.stats.paired import level

CONFIRMED = ("confirm",)
"""The phase whose rounds measure a chosen policy again."""
OWN_PLACE = {"top1", "receptive_field"}
"""Metrics of accuracies that have fields of their own in a row."""


def has_runs(record: Record) -> bool:
    """True if a record has at least one run."""
    return bool(record.runs)


def windows_of(records: Iterable[Record]) -> list[Sample]:
    """Return the samples of all rounds."""
    windows: list[Sample] = []
    for record in records:
        for line in record.rounds:
            windows += line.samples
    return windows


def speed_rows(records: Iterable[Record], phases: Sequence[str]) -> list[Row]:
    """Return one row per model, image size, policy and device."""
    rows: dict[tuple[str, int, str, str], Row] = {}
    for record in records:
        arm = record.arm
        assert isinstance(arm, SpeedArm)
        key = (arm.model, arm.image_size, arm.policy, arm.device)
        if key not in rows:
            rows[key] = _empty_row(record, arm, policy=arm.policy, device=arm.device)
        _add_speeds(rows[key], record, arm, phases)
    return list(rows.values())


def _add_speeds(row: Row, record: Record, arm: SpeedArm, phases: Sequence[str]) -> None:
    size = 0 if arm.mode == "capacity" else arm.batch_size
    for quantity in _quantities(record, size, phases):
        measured = _samples(record, quantity.metric, phases)
        row.rounds[quantity] = per_round(record, quantity.metric, phases)
        row.fair[quantity] = fair_per_round(record, quantity.metric, phases)
        row.values[quantity] = level(row.rounds[quantity])
        row.calls[quantity] = list(map(attrgetter("values"), measured))
        row.details[quantity] = list(map(attrgetter("detail"), measured))
    if record.ends:
        row.short |= record.ends[-1].short
        row.hopeless |= record.ends[-1].hopeless
    for run in record.runs:
        _add_setup(row, run.setup)
    setups = [run.setup for run in record.runs] + [line.setup for line in record.rounds]
    row.agreements += [setup for setup in setups if "agreement" in setup]
    row.records.append(record.path.name)
    _add_trouble(row, record, f"batch {size}" if size else "largest batch")


def _quantities(record: Record, batch_size: int, phases: Sequence[str]) -> list[Quantity]:
    """Return everything that was measured in rounds of some phases, each once."""
    quantities: dict[Quantity, None] = {}
    for line in record.rounds:
        if line.phase in phases:
            quantities |= dict.fromkeys(_quantity(sample, batch_size) for sample in line.samples)
    return list(quantities)


def _quantity(sample: Sample, batch_size: int = 0) -> Quantity:
    return Quantity(sample.metric, batch_size, sample.unit, sample.better)


def _add_setup(row: Row, setup: dict[str, Any]) -> None:
    """Add what a worker reported when it had built and warmed up its model."""
    row.handwritten |= setup.get("handwritten") is True
    row.unsteady |= setup.get("steady") is False
    precision = setup.get("precision")
    if isinstance(precision, str):
        row.precision = precision


def _add_trouble(row: Row, record: Record, where: str) -> None:
    """Add the failures of an arm: under `where`, with the metrics' names if others succeeded."""
    every = set(chain.from_iterable(map(attrgetter("metrics"), record.ends)))
    for end in troubles(record):
        at = where if set(end.metrics) == every else f"{', '.join(end.metrics)}, {where}"
        row.trouble[at] = f"{end.status}: {end.error}"


def add_counts(rows: list[Row], records: Iterable[Record]) -> None:
    """Add counts to every row of their model and image size, or a new row if there is none."""
    for record in records:
        arm = record.arm
        if not isinstance(arm, CountArm):
            continue
        of_shape = [row for row in rows if row.shape == (arm.model, arm.image_size)]
        if not of_shape:
            of_shape = [_empty_row(record, arm)]
            rows += of_shape
        for row in of_shape:
            _add_counts_to_row(row, record)


def _add_counts_to_row(row: Row, record: Record) -> None:
    for sample in windows_of([record]):
        quantity = _quantity(sample)
        row.values[quantity] = Estimate(sample.values[-1])
        row.counted.add(quantity)
        row.uncounted |= sample.detail.get("uncounted", {})
    row.records.append(record.path.name)
    for end in troubles(record):
        row.trouble[", ".join(end.metrics)] = f"{end.status}: {end.error}"


def _empty_row(
    record: Record, arm: SpeedArm | CountArm, *, policy: str = "", device: str = ""
) -> Row:
    about = record.head.about
    return Row(
        model=arm.model, about=about, image_size=arm.image_size, policy=policy, device=device
    )


def probes_of(records: Iterable[Record]) -> Iterator[Probe]:
    """Yield the probes among some records."""
    for record in records:
        if isinstance(record.arm, ProbeArm):
            yield _probe(record, record.arm)


def _probe(record: Record, arm: ProbeArm) -> Probe:
    phases = (*MEASURED, *CONFIRMED)
    probe = Probe(precision=arm.precision, rounds={})
    for name in _metrics(record):
        probe.rounds[name] = per_round(record, name, phases)
        probe.shapes[name] = _shapes(record, name, phases)
    return probe


def _metrics(record: Record) -> list[str]:
    """Return the metrics of a record's rounds, by name."""
    return sorted({sample.metric for sample in windows_of([record])})


def _shapes(record: Record, metric: str, phases: Sequence[str]) -> dict[tuple[str, int], str]:
    """Return, by run and round, the shape that was the fastest if several were tried."""
    shapes: dict[tuple[str, int], str] = {}
    for line, sample in samples(record, metric, phases):
        if "shape" in sample.detail:
            shapes[line.run, line.round] = str(sample.detail["shape"])
    return shapes


def accuracies_of(records: Iterable[Record]) -> list[Accuracy]:
    """Return the accuracies among some records, each as measured by its last run's machine."""
    return list(accuracy_rows(map(Record.latest, filter(has_runs, records))))


def accuracy_rows(records: Iterable[Record], fingerprint: str | None = None) -> Iterator[Accuracy]:
    """Yield the accuracies among some records, as they are on a machine in one state.

    Those of other states than that with this `fingerprint` have no times.
    """
    for record in records:
        if isinstance(record.arm, AccuracyArm):
            here = fingerprint in (None, record.runs[-1].machine.fingerprint)
            yield _accuracy(record, record.arm, timed=here)


def _accuracy(record: Record, arm: AccuracyArm, timed: bool) -> Accuracy:
    top1 = _newest(record, "top1")
    fields = _newest(record, "receptive_field")
    end = end_of(record, "top1") or (record.ends[-1] if record.ends else None)
    return Accuracy(
        model=arm.model,
        about=record.head.about,
        arm=arm,
        top1=proportion(top1.detail["correct"], top1.detail["images"]) if top1 else None,
        detail=top1.detail if top1 else {},
        values=_other_values(record),
        trouble=f"{end.status}: {end.error}" if end and end.status != "ok" else None,
        path=record.path,
        fields=fields.detail if fields else {},
        fields_file=_file_of(record, "receptive_field"),
        arrays_file=_file_of(record, "top1"),
        timed=timed,
    )


def _newest(record: Record, metric: str) -> Sample | None:
    """Return the last sample of a metric; None without one."""
    found = _samples(record, metric)
    return found[-1] if found else None


def _samples(record: Record, metric: str, phases: Sequence[str] = MEASURED) -> list[Sample]:
    """Return the samples of a metric in rounds of some phases."""
    return [sample for _, sample in samples(record, metric, phases)]


def _other_values(record: Record) -> dict[Quantity, float]:
    """Return the values of metrics that have no field of their own, such as plug-ins'."""
    values: dict[Quantity, float] = {}
    for name in _metrics(record):
        if name not in OWN_PLACE:
            for sample in _samples(record, name):
                values[_quantity(sample)] = sample.values[-1]
    return values


def _file_of(record: Record, metric: str) -> str | None:
    """Return the file of arrays next to the newest round that has a metric; None without one."""
    for line in reversed(record.rounds):
        if any(sample.metric == metric for sample in line.samples):
            return line.arrays
    return None
