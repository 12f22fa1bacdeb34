"""One machine's records as a summary: which of them count, and the rows that they give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, filterfalse
from operator import attrgetter

import msgspec

from bench.analysis.groups import grouped
from bench.analysis.record_rows import (
    CONFIRMED,
    accuracy_rows,
    add_counts,
    has_runs,
    probes_of,
    speed_rows,
    windows_of,
)
from bench.analysis.rows import Accuracy, Asked, Row, Summary
from bench.forecast.past import Past
from bench.record.arms import AccuracyArm, Arm, ProbeArm, SpeedArm
from bench.record.names import names_in
from bench.record.schema import Machine
from bench.record.store import Record
from bench.record.values import MEASURED
from bench.stats.reference import SENTINEL

ASKED = ("asked", "reference")
"""Roles of arms that are compared; the others come along as checks."""


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
    run = list(filter(has_runs, records))
    assert run, "nothing to summarise"
    machine = _newest_machine(run)
    here = [record.within(machine.fingerprint) for record in run]
    notes = [*_torn(run), *_of_other_states(here), *_of_other_versions(here)]
    kept = _newest_of_each(filter(has_runs, here))
    studied = set(chain.from_iterable(map(_studied, kept)))
    if not of_studies:
        kept = list(filter(_not_only_for_studies, kept))
    kept, left_out = _of_one_protocol(kept)
    speeds = list(filter(_is_speed, kept))
    asked = list(filter(was_asked, speeds))
    rows = speed_rows(asked, MEASURED)
    add_counts(rows, kept)
    windows = windows_of(speeds)
    summary = Summary(
        machine=msgspec.structs.replace(machine, name=name or machine.name),
        rows=rows,
        best=_chosen(speed_rows(map(as_asked, asked), CONFIRMED)),
        sentinels=speed_rows(filter(_is_of_aa_check, speeds), MEASURED),
        probes=list(probes_of(kept)),
        accuracies=list(accuracy_rows(kept, machine.fingerprint)),
        disturbed=sum(window.disturbed is not None for window in windows),
        windows=len(windows),
        notes=[*notes, *left_out],
        studied=studied,
        names=names_in(run),
        protocols=set(map(_protocol, kept)),
        past=past or Past.of(here),
    )
    shown: list[Row | Accuracy] = [*summary.rows, *summary.best, *summary.sentinels]
    for row in [*shown, *summary.accuracies]:
        row.given = summary.names.get(row.model, "")
    return summary


def _is_speed(record: Record) -> bool:
    return isinstance(record.arm, SpeedArm)


def _is_of_aa_check(record: Record) -> bool:
    return record.arm.model in SENTINEL


def _newest_machine(records: Iterable[Record]) -> Machine:
    """Return the machine and the state of its software in the newest run.

    That is the newest one of what depends on the state, if there is any: a training that was made
    at a low priority does not hide the speeds.
    """
    found = list(records)
    timed = [record for record in found if not isinstance(record.arm, AccuracyArm)]
    runs = chain.from_iterable(map(attrgetter("runs"), timed or found))
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


VERSIONS = ("torch", "torchvision", "timm")
"""What a training computes with."""


def _of_other_versions(records: Iterable[Record]) -> Iterator[str]:
    """Yield a note if trainings were made with different versions of what they compute with."""
    used: set[str] = set()
    for record in records:
        if isinstance(record.arm, AccuracyArm) and record.arm.recipe:
            versions = record.runs[-1].machine.versions
            used.add(" and ".join(f"{name} {versions.get(name)}" for name in VERSIONS))
    if len(used) > 1:
        yield f"trainings were made with different versions: {'; '.join(sorted(used))}"


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
