"""One machine's records, read and summarised."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bench.analysis.published_csv import imported
from bench.analysis.rows import Summary
from bench.analysis.summary import summarise
from bench.errors import UsageError
from bench.forecast import past_runs
from bench.record.reading import read_folder, record_folders


@dataclass(frozen=True)
class Machine:
    """One machine's records, read: those without what was measured for studies alone, and all of them."""

    folder: Path
    summary: Summary
    everything: Summary
    damaged: list[UsageError]


def machine_folders(results: Path) -> list[Path]:
    """The folders in `results` that hold records; UsageError where there are none."""
    return _machine_folders(results)[0]


def _machine_folders(results: Path) -> tuple[list[Path], list[UsageError]]:
    """The same, and those that are links: they are left out."""
    if not results.is_dir():
        raise UsageError(f"--results: {results} is not a folder; `python -m bench run` makes one")
    below, links = record_folders(results)
    found = [folder.parent for folder in below if folder.parent.parent == results]
    if not found:
        if (results / "records").is_dir():
            raise UsageError(
                f"--results: {results} is one machine's folder; name the one above it, {results.parent}"
            )
        raise (
            links[0]
            if links
            else UsageError(
                f"--results: {results} holds no records; `python -m bench run` measures some"
            )
        )
    return found, list(links)


def read(folder: Path) -> Machine:
    """The records of one machine; UsageError where none can be read."""
    machines, left_out = _read([folder])
    if not machines:
        raise left_out[0]
    return machines[0]


def read_all(results: Path) -> list[Machine]:
    """The records of every machine that has some which can be read; UsageError where none has."""
    machines, left_out = read_each(results)
    if not machines:
        raise left_out[0]
    return [replace(machines[0], damaged=[*left_out, *machines[0].damaged]), *machines[1:]]


def read_each(results: Path) -> tuple[list[Machine], list[UsageError]]:
    """The machines that have records, and what there is to say of the others and of files that were imported."""
    folders, links = _machine_folders(results)
    machines, left_out = _read(folders)
    return machines, [*links, *left_out]


def _read(folders: list[Path]) -> tuple[list[Machine], list[UsageError]]:
    more = imported(folders[0].parent)
    machines: list[Machine] = []
    left_out: list[UsageError] = []
    for folder in folders:
        records, damaged = read_folder(folder / "records")
        if not any(record.runs for record in records):
            left_out += damaged or [
                UsageError(f"{folder}/records: no run in any record; run again")
            ]
            continue
        first = summarise(records, name=folder.name)
        past = replace(first.past, costs=past_runs.read(folder))
        found = (first, summarise(records, of_studies=True, name=folder.name, past=past))
        summary, everything = (replace(one, imported=more, past=past) for one in found)
        machines.append(Machine(folder, summary, everything, list(damaged)))
    return machines, left_out
