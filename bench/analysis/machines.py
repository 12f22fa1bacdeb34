"""One machine's records, read and summarised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.analysis.published import Imported
from bench.analysis.published_csv import imported
from bench.analysis.rows import Summary
from bench.analysis.summary import summarise
from bench.errors import UsageError
from bench.forecast import past_runs
from bench.record.reading import read_folder, record_folders
from bench.record.store import Record


@dataclass(frozen=True)
class MachineRecords:
    """One machine's records as rows.

    `summary` leaves out what was measured for studies only, `everything` includes it. `damaged`
    are the records that could not be read.
    """

    folder: Path
    summary: Summary
    everything: Summary
    damaged: list[UsageError]


def machine_folders(results: Path) -> list[Path]:
    """Return the folders in `results` that hold records; UsageError if there are none."""
    return _machine_folders(results)[0]


def _machine_folders(results: Path) -> tuple[list[Path], list[UsageError]]:
    """Return the same folders, and an error for each that is a link and therefore left out."""
    if not results.is_dir():
        raise UsageError(f"--results: {results} is not a folder; `python -m bench run` makes one")
    below, links = record_folders(results)
    found = [folder.parent for folder in below if folder.parent.parent == results]
    if found:
        return found, list(links)
    if (results / "records").is_dir():
        raise UsageError(
            f"--results: {results} is one machine's folder; give its parent, {results.parent}"
        )
    if links:
        raise links[0]
    raise UsageError(
        f"--results: {results} contains no records; `python -m bench run` measures some"
    )


def read(folder: Path) -> MachineRecords:
    """Return the records of one machine; UsageError if none can be read."""
    machines, left_out = _read([folder])
    if not machines:
        raise left_out[0]
    return machines[0]


def one_or_all(path: Path) -> list[MachineRecords]:
    """Return the machine whose folder `path` is, else every machine below it.

    Raises UsageError if nothing can be read.
    """
    return [read(path)] if (path / "records").is_dir() else read_all(path)


def read_all(results: Path) -> list[MachineRecords]:
    """Return every machine with readable records; UsageError if there is none."""
    machines, left_out = read_each(results)
    if not machines:
        raise left_out[0]
    return [replace(machines[0], damaged=[*left_out, *machines[0].damaged]), *machines[1:]]


def read_each(results: Path) -> tuple[list[MachineRecords], list[UsageError]]:
    """Return the machines with readable records, and an error for every folder left out."""
    folders, links = _machine_folders(results)
    machines, left_out = _read(folders)
    return machines, [*links, *left_out]


def _read(folders: list[Path]) -> tuple[list[MachineRecords], list[UsageError]]:
    reference_rows = imported(folders[0].parent)
    machines: list[MachineRecords] = []
    left_out: list[UsageError] = []
    for folder in folders:
        records, damaged = read_folder(folder / "records")
        if any(record.runs for record in records):
            machines.append(_summarised(folder, records, damaged, reference_rows))
        else:
            nothing = UsageError(f"{folder}/records: no run in any record; run again")
            left_out += damaged or [nothing]
    return machines, left_out


def _summarised(
    folder: Path, records: list[Record], damaged: Sequence[UsageError], reference_rows: Imported
) -> MachineRecords:
    first = summarise(records, name=folder.name)
    past = replace(first.past, costs=past_runs.read(folder))
    every = summarise(records, of_studies=True, name=folder.name, past=past)
    summary = replace(first, imported=reference_rows, past=past)
    return MachineRecords(
        folder, summary, replace(every, imported=reference_rows), damaged=list(damaged)
    )
