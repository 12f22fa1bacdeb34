"""From records to rows: one row per model, policy, device and image size, its values as estimates.

Reads records and nothing else; knows no torch. A metric that arrives as a new file needs no line here: its unit and
direction stand in its records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from bench.analysis.rows import Accuracy, Asked, Probe, Quantity, Row, Summary
from bench.forecast.past import Past
from bench.record.arms import AccuracyArm, Arm, CountArm, ProbeArm, SpeedArm
from bench.record.schema import Sample
from bench.record.store import Record, end_of, troubles
from bench.record.values import MEASURED, fair_per_round, per_round, samples
from bench.stats.intervals import Estimate, proportion
from bench.stats.paired import level
from bench.stats.reference import SENTINEL


def summarise(
    records: Iterable[Record],
    *,
    of_studies: bool = False,
    name: str | None = None,
    past: Past | None = None,
) -> Summary:
    """One machine's records as rows. Only the newest state of its software counts; older runs are named in a note.

    `of_studies`: with what was measured for studies alone, which would bury the rest of a report. `name`: what to call the
    machine, where its folder was renamed, as to keep one of its states beside another. `past`: what arms cost on it, where that
    is known from more than these records.
    """
    records = [record for record in records if record.runs]
    assert records, "nothing to summarise"
    newest = max(
        (run for record in records for run in record.runs), key=lambda run: run.started
    ).machine
    kept = [record.within(newest.fingerprint) for record in records]
    notes = [
        f"{record.path.name}: its torn last line was left out" for record in records if record.torn
    ]
    if older := sum(1 for record in kept if not record.runs):
        notes.append(
            f"{older} records were measured under another state of this machine (versions, threads) and are not shown"
        )
    past = past or Past.of(kept)
    kept = _newest_of_each([record for record in kept if record.runs])
    studied = {asked for record in kept for asked in _studied(record)}
    if not of_studies:
        kept = [
            record
            for record in kept
            if isinstance(record.arm, ProbeArm) or not all(run.studies for run in record.runs)
        ]
    kept, notes = _of_one_protocol(kept, notes)
    speeds = [record for record in kept if isinstance(record.arm, SpeedArm)]
    asked = [record for record in speeds if _was_asked(record)]
    rows = _rows(asked, MEASURED)
    for record in kept:
        if isinstance(record.arm, CountArm):
            of_shape = [
                row
                for row in rows
                if (row.model, row.image_size) == (record.arm.model, record.arm.image_size)
            ]
            if not of_shape:
                rows.append(_counted_only(record, record.arm))
            for row in of_shape or rows[-1:]:
                _add_counts(row, record)
    windows = [sample for record in speeds for line in record.rounds for sample in line.samples]
    return Summary(
        machine=msgspec.structs.replace(newest, name=name or newest.name),
        rows=rows,
        best=_chosen(_rows(asked, ("confirm",))),
        sentinels=_rows([record for record in speeds if record.arm.model in SENTINEL], MEASURED),
        probes=[_probe(record, record.arm) for record in kept if isinstance(record.arm, ProbeArm)],
        accuracies=[
            _accuracy(record, record.arm) for record in kept if isinstance(record.arm, AccuracyArm)
        ],
        disturbed=sum(sample.disturbed is not None for sample in windows),
        windows=len(windows),
        notes=notes,
        studied=studied,
        protocols={
            (str(record.arm.__struct_config__.tag), str(record.head.settings.get("protocol")))
            for record in kept
        },
        past=past,
    )


def _studied(record: Record) -> Iterator[Asked]:
    """Yield every study that a run of this record was made for."""
    arm = record.arm
    trained = (arm.data, arm.recipe or "") if isinstance(arm, AccuracyArm) else ()
    for run in record.runs:
        for study, hash in run.studies.items():
            yield Asked(study, hash, *trained)


def of_one_policy(rows: list[Row]) -> list[Row]:
    """Rows that can stand in one figure: those of the policy that most were measured under, and of no handwritten one."""
    plain = [row for row in rows if not row.handwritten]
    policies = [row.policy for row in plain]
    most = max(dict.fromkeys(policies), key=policies.count, default="")
    return [row for row in plain if row.policy == most]


def _was_asked(record: Record) -> bool:
    """Whether somebody wanted this arm for itself."""
    return any(run.role in ("asked", "reference") for run in record.runs)


def _rows(records: list[Record], phases: Sequence[str]) -> list[Row]:
    """One row per model, image size, policy and device."""
    rows: dict[tuple[str, int, str, str], Row] = {}
    for record in records:
        arm = record.arm
        assert isinstance(arm, SpeedArm)
        key = (arm.model, arm.image_size, arm.policy, arm.device)
        row = Row(
            model=arm.model,
            about=record.head.about,
            image_size=arm.image_size,
            policy=arm.policy,
            device=arm.device,
        )
        _add_speeds(rows.setdefault(key, row), record, arm, phases)
    return list(rows.values())


def _chosen(rows: list[Row]) -> list[Row]:
    """Of rows that were measured to confirm a choice the newest choice of each model; handwritten ones are no choice."""
    newest: dict[tuple[str, int, str], Row] = {}
    for row in sorted(
        (row for row in rows if row.rounds),
        key=lambda row: max(at for values in row.rounds.values() for at in values),
    ):
        newest[row.model, row.image_size, row.policy if row.handwritten else ""] = row
    return list(newest.values())


def _newest_of_each(records: list[Record]) -> list[Record]:
    """One record per arm: an edited model file or a changed protocol makes a new key, and the old one is history."""
    newest: dict[Arm, Record] = {}
    for record in sorted(records, key=lambda record: record.runs[-1].started):
        newest[record.arm.without_source()] = record
    chosen = {record.path for record in newest.values()}
    return [record for record in records if record.path in chosen]


def _of_one_protocol(records: list[Record], notes: list[str]) -> tuple[list[Record], list[str]]:
    """Records without the speeds that were measured differently than the newest was, which a note counts.

    Speeds of two protocols are of different things: they stand in no table together.
    """
    speeds = [record for record in records if isinstance(record.arm, SpeedArm)]
    newest = max(speeds, key=lambda record: record.runs[-1].started).head.settings if speeds else {}
    others = [record for record in speeds if record.head.settings != newest]
    if not others:
        return records, notes
    left_out = {record.path for record in others}
    had = ", ".join(sorted({str(record.head.settings.get("protocol")) for record in others}))
    note = (
        f"{len(others)} speeds were measured by protocol {had}, before protocol {newest.get('protocol')} (docs/METHOD.md), and are not "
        "shown: the same `bench run` measures them anew"
    )
    return [record for record in records if record.path not in left_out], [*notes, note]


def _counted_only(record: Record, arm: CountArm) -> Row:
    """A row for a model whose speed was not measured."""
    return Row(
        model=arm.model, about=record.head.about, image_size=arm.image_size, policy="", device=""
    )


def _probe(record: Record, arm: ProbeArm) -> Probe:
    names = {sample.metric for line in record.rounds for sample in line.samples}
    phases = (*MEASURED, "confirm")
    return Probe(
        precision=arm.precision,
        rounds={name: per_round(record, name, phases) for name in sorted(names)},
        shapes={name: _shapes(record, name, phases) for name in sorted(names)},
    )


def _shapes(record: Record, metric: str, phases: Sequence[str]) -> dict[tuple[str, int], str]:
    """By (run, round) the shape that was the fastest, where several were tried."""
    found = samples(record, metric, phases)
    return {
        (line.run, line.round): str(sample.detail["shape"])
        for line, sample in found
        if "shape" in sample.detail
    }


def _quantity(sample: Sample, batch_size: int = 0) -> Quantity:
    return Quantity(sample.metric, batch_size, sample.unit, sample.better)


def _add_counts(row: Row, record: Record) -> None:
    for line in record.rounds:
        for sample in line.samples:
            row.values[_quantity(sample)] = Estimate(sample.values[-1])
            row.counted.add(_quantity(sample))
            row.uncounted |= sample.detail.get("uncounted", {})
    row.records.append(record.path.name)
    for end in troubles(record):
        row.trouble[", ".join(end.metrics)] = f"{end.status}: {end.error}"


def _add_speeds(row: Row, record: Record, arm: SpeedArm, phases: Sequence[str]) -> None:
    lines = [line for line in record.rounds if line.phase in phases]
    size = 0 if arm.mode == "capacity" else arm.batch_size
    seen = {_quantity(sample, size) for line in lines for sample in line.samples}
    for quantity in seen:
        found = [sample for _, sample in samples(record, quantity.metric, phases)]
        row.rounds[quantity] = per_round(record, quantity.metric, phases)
        row.fair[quantity] = fair_per_round(record, quantity.metric, phases)
        row.values[quantity] = level(row.rounds[quantity])
        row.calls[quantity] = [sample.values for sample in found]
        row.details[quantity] = [sample.detail for sample in found]
    row.short |= bool(record.ends) and record.ends[-1].short
    row.hopeless |= bool(record.ends) and record.ends[-1].hopeless
    row.handwritten |= any(run.setup.get("handwritten") is True for run in record.runs)
    row.unsteady |= any(run.setup.get("steady") is False for run in record.runs)
    for run in record.runs:
        if isinstance(precision := run.setup.get("precision"), str):
            row.precision = precision
    row.records.append(record.path.name)
    _add_trouble(
        row, record, "largest batch" if arm.mode == "capacity" else f"batch {arm.batch_size}"
    )


def _add_trouble(row: Row, record: Record, where: str) -> None:
    """How it ended, where it did not end well: for all of an arm, or for the metrics that are named."""
    every = {metric for end in record.ends for metric in end.metrics}
    for end in troubles(record):
        at = where if set(end.metrics) == every else f"{', '.join(end.metrics)}, {where}"
        row.trouble[at] = f"{end.status}: {end.error}"


def accuracies_of(records: Iterable[Record]) -> list[Accuracy]:
    """The accuracies among some records, each as its last run's machine measured it."""
    latest = [record.latest() for record in records if record.runs]
    return [
        _accuracy(record, record.arm) for record in latest if isinstance(record.arm, AccuracyArm)
    ]


def _accuracy(record: Record, arm: AccuracyArm) -> Accuracy:
    found = [sample for _, sample in samples(record, "top1")]
    fields = [sample for _, sample in samples(record, "receptive_field")]
    end = end_of(record, "top1") or (record.ends[-1] if record.ends else None)
    return Accuracy(
        model=arm.model,
        about=record.head.about,
        arm=arm,
        top1=proportion(found[-1].detail["correct"], found[-1].detail["images"]) if found else None,
        detail=found[-1].detail if found else {},
        values=_other_values(record),
        trouble=f"{end.status}: {end.error}" if end and end.status != "ok" else None,
        path=record.path,
        fields=fields[-1].detail if fields else {},
        fields_file=_file_of(record, "receptive_field"),
        arrays_file=_file_of(record, "top1"),
    )


def _other_values(record: Record) -> dict[Quantity, float]:
    """What metrics gave that have no place of their own: those of plug-ins."""
    names = {sample.metric for line in record.rounds for sample in line.samples} - {
        "top1",
        "receptive_field",
    }
    last = [sample for name in sorted(names) for _, sample in samples(record, name)]
    return {_quantity(sample): sample.values[-1] for sample in last}


def _file_of(record: Record, metric: str) -> str | None:
    """The file of arrays beside the newest round that has a metric."""
    files = [
        line.arrays
        for line in record.rounds
        if any(sample.metric == metric for sample in line.samples)
    ]
    return files[-1] if files else None
