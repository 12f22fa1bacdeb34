"""From records to rows: one row per model, policy, device and image size, its values as estimates.

A new metric needs no change here: its unit and direction are in its records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, filterfalse
from operator import attrgetter
from typing import Any

import msgspec

from bench.analysis.groups import grouped
from bench.analysis.rows import Accuracy, Asked, Probe, Quantity, Row, Summary
from bench.forecast.past import Past
from bench.record.arms import AccuracyArm, Arm, CountArm, ProbeArm, SpeedArm
from bench.record.schema import Machine, Sample
from bench.record.store import Record, end_of, troubles
from bench.record.values import MEASURED, fair_per_round, per_round, samples
from bench.stats.intervals import Estimate, proportion
from bench.stats.paired import level
from bench.stats.reference import SENTINEL

CONFIRMED = ("confirm",)
ASKED = ("asked", "reference")
"""Roles of arms that are compared; the others come along as checks."""
"""The phase whose rounds measure a chosen policy again."""
OWN_PLACE = {"top1", "receptive_field"}
"""Metrics of accuracies that have fields of their own in a row."""


def summarise(
    records: Iterable[Record],
    *,
    of_studies: bool = False,
    name: str | None = None,
    past: Past | None = None,
) -> Summary:
    """Return one machine's records as rows, in the newest state of its software.

    of_studies: include what was measured for studies only, which would bury the rest of a report.
    name: the machine's name, if its folder was renamed.
    past: the time that arms took on it, if known from more than these records.
    """
    run = list(filter(_has_runs, records))
    assert run, "nothing to summarise"
    machine = _newest_machine(run)
    here = [record.within(machine.fingerprint) for record in run]
    notes = [*_torn(run), *_of_other_states(here)]
    kept = _newest_of_each(filter(_has_runs, here))
    studied = set(chain.from_iterable(map(_studied, kept)))
    if not of_studies:
        kept = list(filter(_not_only_for_studies, kept))
    kept, left_out = _of_one_protocol(kept)
    speeds = list(filter(_is_speed, kept))
    asked = list(filter(was_asked, speeds))
    rows = _rows(asked, MEASURED)
    _add_all_counts(rows, kept)
    windows = _windows(speeds)
    return Summary(
        machine=msgspec.structs.replace(machine, name=name or machine.name),
        rows=rows,
        best=_chosen(_rows(map(as_asked, asked), CONFIRMED)),
        sentinels=_rows(filter(_is_of_aa_check, speeds), MEASURED),
        probes=list(_probes(kept)),
        accuracies=list(_accuracies(kept)),
        disturbed=sum(window.disturbed is not None for window in windows),
        windows=len(windows),
        notes=[*notes, *left_out],
        studied=studied,
        protocols=set(map(_protocol, kept)),
        past=past or Past.of(here),
    )


def _has_runs(record: Record) -> bool:
    return bool(record.runs)


def _is_speed(record: Record) -> bool:
    return isinstance(record.arm, SpeedArm)


def _is_of_aa_check(record: Record) -> bool:
    return record.arm.model in SENTINEL


def _newest_machine(records: Iterable[Record]) -> Machine:
    """Return the machine and the state of its software in the newest run."""
    runs = chain.from_iterable(map(attrgetter("runs"), records))
    return max(runs, key=attrgetter("started")).machine


def _torn(records: Iterable[Record]) -> Iterator[str]:
    """Yield a note for every record whose last line is incomplete."""
    for record in records:
        if record.torn:
            yield f"{record.path.name}: its incomplete last line was left out"


def _of_other_states(records: Iterable[Record]) -> Iterator[str]:
    """Yield a note if some records have no run in the newest state of the machine."""
    older = sum(not record.runs for record in records)
    if older:
        yield (
            f"{older} records were measured under another state of this machine (versions, threads)"
            " and are not shown"
        )


def _windows(records: Iterable[Record]) -> list[Sample]:
    """Return the samples of all rounds."""
    windows: list[Sample] = []
    for record in records:
        for line in record.rounds:
            windows += line.samples
    return windows


def _protocol(record: Record) -> tuple[str, str]:
    """Return the kind of a record's arm and its measuring protocol."""
    kind = record.arm.__struct_config__.tag
    return str(kind), str(record.head.settings.get("protocol"))


def _studied(record: Record) -> Iterator[Asked]:
    """Yield every study that a run of this record was made for."""
    arm = record.arm
    trained = (arm.data, arm.recipe or "") if isinstance(arm, AccuracyArm) else ()
    for run in record.runs:
        for study, hash in run.studies.items():
            yield Asked(study, hash, *trained)


def _not_only_for_studies(record: Record) -> bool:
    """True for probes, and if at least one run was made for no study."""
    for_studies = map(attrgetter("studies"), record.runs)
    return isinstance(record.arm, ProbeArm) or not all(for_studies)


def of_one_policy(rows: list[Row]) -> list[Row]:
    """Return the rows for one figure: those of the policy with the most rows, none handwritten."""
    plain = filterfalse(attrgetter("handwritten"), rows)
    policies = grouped(plain, attrgetter("policy"))
    return max(policies.values(), key=len, default=[])


def was_asked(record: Record) -> bool:
    """True if a user asked for this arm, rather than it coming along as a check."""
    return any(run.role in ASKED for run in record.runs)


def as_asked(record: Record) -> Record:
    """Return a record without the runs in which its arm came along as a check."""
    runs = [run.run for run in record.runs if run.role in ASKED]
    return record.of_runs(runs)


def _rows(records: Iterable[Record], phases: Sequence[str]) -> list[Row]:
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


def _empty_row(
    record: Record, arm: SpeedArm | CountArm, *, policy: str = "", device: str = ""
) -> Row:
    about = record.head.about
    return Row(
        model=arm.model, about=about, image_size=arm.image_size, policy=policy, device=device
    )


def _chosen(rows: list[Row]) -> list[Row]:
    """Return each model's newest choice, of rows measured to confirm one.

    A handwritten policy is never a choice, so each stays next to the chosen one.
    """
    newest: dict[tuple[str, int, str], Row] = {}
    for row in sorted(filter(attrgetter("rounds"), rows), key=_last_round):
        newest[row.model, row.image_size, row.policy if row.handwritten else ""] = row
    return list(newest.values())


def _last_round(row: Row) -> tuple[str, int]:
    """Return the latest run and round of any quantity."""
    return max(chain.from_iterable(row.rounds.values()))


def _newest_of_each(records: Iterable[Record]) -> list[Record]:
    """Return one record per arm.

    An edited model file or a new protocol gives an arm a new key; its older records are history.
    """
    found = list(records)
    newest: dict[Arm, Record] = {}
    for record in sorted(found, key=_started):
        newest[record.arm.without_source()] = record
    return [record for record in found if newest[record.arm.without_source()] is record]


def _started(record: Record) -> str:
    """Return when the last run of a record started."""
    return record.runs[-1].started


def _of_one_protocol(records: list[Record]) -> tuple[list[Record], list[str]]:
    """Return the records without speeds of older settings, and a note that counts those.

    Speeds of two measuring protocols are different quantities and never share a table.
    """
    newest = max(filter(_is_speed, records), key=_started, default=None)
    if newest is None:
        return records, []
    kept: list[Record] = []
    older: list[Record] = []
    for record in records:
        same = not _is_speed(record) or record.head.settings == newest.head.settings
        (kept if same else older).append(record)
    if not older:
        return records, []
    protocols = ", ".join(sorted({_protocol(record)[1] for record in older}))
    note = (
        f"{len(older)} speeds were measured by protocol {protocols}, before protocol "
        f"{_protocol(newest)[1]} (docs/METHOD.md), and are not shown: the same `bench run` "
        "measures them anew"
    )
    return kept, [note]


def _probes(records: Iterable[Record]) -> Iterator[Probe]:
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
    return sorted({sample.metric for sample in _windows([record])})


def _shapes(record: Record, metric: str, phases: Sequence[str]) -> dict[tuple[str, int], str]:
    """Return, by run and round, the shape that was the fastest if several were tried."""
    shapes: dict[tuple[str, int], str] = {}
    for line, sample in samples(record, metric, phases):
        if "shape" in sample.detail:
            shapes[line.run, line.round] = str(sample.detail["shape"])
    return shapes


def _quantity(sample: Sample, batch_size: int = 0) -> Quantity:
    return Quantity(sample.metric, batch_size, sample.unit, sample.better)


def _add_all_counts(rows: list[Row], records: Iterable[Record]) -> None:
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
            _add_counts(row, record)


def _add_counts(row: Row, record: Record) -> None:
    for sample in _windows([record]):
        quantity = _quantity(sample)
        row.values[quantity] = Estimate(sample.values[-1])
        row.counted.add(quantity)
        row.uncounted |= sample.detail.get("uncounted", {})
    row.records.append(record.path.name)
    for end in troubles(record):
        row.trouble[", ".join(end.metrics)] = f"{end.status}: {end.error}"


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
    row.records.append(record.path.name)
    _add_trouble(row, record, f"batch {size}" if size else "largest batch")


def _quantities(record: Record, batch_size: int, phases: Sequence[str]) -> set[Quantity]:
    """Return everything that was measured in rounds of some phases."""
    quantities: set[Quantity] = set()
    for line in record.rounds:
        if line.phase in phases:
            quantities.update(_quantity(sample, batch_size) for sample in line.samples)
    return quantities


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


def accuracies_of(records: Iterable[Record]) -> list[Accuracy]:
    """Return the accuracies among some records, each as measured by its last run's machine."""
    return list(_accuracies(map(Record.latest, filter(_has_runs, records))))


def _accuracies(records: Iterable[Record]) -> Iterator[Accuracy]:
    for record in records:
        if isinstance(record.arm, AccuracyArm):
            yield _accuracy(record, record.arm)


def _accuracy(record: Record, arm: AccuracyArm) -> Accuracy:
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
