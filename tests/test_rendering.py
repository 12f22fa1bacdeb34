"""Rendering changes none of its input: a second time gives the same result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.analysis.machines import MachineRecords, read
from bench.claims import comparison
from bench.claims.verdicts import verdicts
from bench.errors import UsageError
from bench.exchange.timm_csv import export
from bench.report import formats
from bench.report.citations import bibliography, methods
from bench.report.figures import drawings, figures
from bench.report.page.data import page_data
from bench.report.selection import Selection, arrange, select, selection
from bench.report.tables import comparison as claim_tables
from bench.report.tables.machines import side_by_side
from bench.report.tables.reading_order import all_tables
from bench.report.tables.speed_gap import gaps
from bench.report.tables.verdicts import details, overview
from bench.report.write import Report, markdown

from .conftest import accuracy_record, count_record
from .program import ROOT
from .test_speed_tables import WOBBLE, speeds

CHOSEN = (
    Selection(),
    selection(where="params<40M", sort="throughput", columns=["params", "throughput"]),
)


def rendered(machine: MachineRecords, folder: Path) -> list[Any]:
    """Everything that is made of a machine's records, as text or plain values."""
    found: list[Any] = []
    summary, everything = machine.summary, machine.everything
    judged = verdicts(everything)
    for chosen in CHOSEN:
        part = select(chosen, summary)
        tables = [
            *arrange(chosen, [*all_tables(part), *gaps(everything)]),
            *overview(judged),
            *details(judged),
        ]
        found += [
            render(table)
            for table in tables
            for render in (formats.markdown, formats.csv_text, formats.latex)
        ]
        found += [markdown(part, tables, [], chosen, everything), methods(part), bibliography(part)]
    report = Report(machine.folder, summary, tables, [], [], judged, everything, [])
    found += [
        page_data([report]),
        [formats.markdown(table) for table in side_by_side([summary, summary])],
    ]
    found += [path.read_text() for path in export(everything, folder)]
    for on in ("top1", "throughput", "latency", "memory"):
        try:
            answer = comparison.answer("convmixer_768_32 > vit_s16", on, machine.folder)  # type: ignore[arg-type]
        except UsageError:
            continue
        found += [formats.markdown(table) for table in claim_tables.claim_tables(answer)]
    return found


@pytest.fixture(
    scope="module",
    params=["best policies", "amd-epyc-2t-eb82", "amd-epyc-2t-eb82-freed-memory-kept"],
)
def machine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> MachineRecords:
    """Return a committed machine, or one where best policies were chosen among counted models.

    No committed machine has the latter.
    """
    if request.param in {path.name for path in (ROOT / "results").iterdir()}:
        return read(ROOT / "results" / request.param)
    folder = tmp_path_factory.mktemp("machine")
    for model, speed in (("vit_s16", 10.0), ("convmixer_768_32", 4.0)):
        for policy, more in (("fp32", 1.0), ("channels_last", 1.2)):
            for phase in ("choose", "confirm"):
                rounds = [speed * more * wobble for wobble in WOBBLE]
                speeds(
                    folder / "records",
                    model,
                    rounds,
                    phase=phase,
                    policy=policy,
                    family=model.partition("_")[0],
                )
        count_record(
            folder / "records", model, 22_000_000, 4_600_000_000, family=model.partition("_")[0]
        )
        accuracy_record(folder / "records", model, 340, family=model.partition("_")[0])
    return read(folder)


def test_rendering_adds_nothing_to_what_it_renders(
    machine: MachineRecords, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "_machines", lambda results: ([machine], []))
    before = repr(machine)
    first = rendered(machine, tmp_path)
    assert repr(machine) == before
    assert rendered(machine, tmp_path) == first


def test_drawing_adds_nothing_to_what_it_draws(machine: MachineRecords) -> None:
    before = repr(machine)
    for entry in figures.entries():
        drawings(entry, machine.everything if entry.of_studies else machine.summary)
    assert repr(machine) == before
