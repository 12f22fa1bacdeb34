"""Several machines side by side, and the split of a gap: from records whose truth is known."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from bench.analysis.rows import Summary
from bench.analysis.summary import summarise
from bench.record.store import Record
from bench.report.tables.machines import side_by_side
from bench.report.tables.speed_gap import gaps, patch_of
from bench.report.write import write_all

from . import pool_worlds, synthetic
from .conftest import MACHINE, resealed, speed_record
from .program import bench


def on(machine: str, records: list[Record]) -> Summary:
    """The same records as if another machine had made them."""
    for record in records:
        record.runs = [
            msgspec.structs.replace(run, machine=msgspec.structs.replace(run.machine, name=machine))
            for run in record.runs
        ]
    return summarise(records)


def speeds(factor: float) -> list[Record]:
    draw = random.Random(0)
    return [
        synthetic.speed(model, synthetic.noisy(draw, factor * value, 0.01, 8))
        for model, value in (("vit_s16", 10.0), ("resnet50", 20.0))
    ]


def test_machines_stand_side_by_side_and_are_never_averaged() -> None:
    slow, fast = on("slow", speeds(1.0)), on("fast", speeds(10.0))
    [table] = side_by_side([slow, fast])
    assert table.headers[0] == "model"
    assert [name.partition(",")[0] for name in table.headers[1:]] == [
        "fast",
        "× vit_s16 on fast",
        "slow",
        "× vit_s16 on slow",
    ]
    rows = {row[0].text: row for row in table.cells}
    assert rows["vit_s16"][1].value == pytest.approx(10 * (rows["vit_s16"][3].value or 0), rel=0.02)
    assert rows["resnet50"][2].value == pytest.approx(2.0, rel=0.02)
    assert any("not averaged" in note for note in table.notes)
    assert {note.partition(":")[0] for note in table.notes if "unchecked" in note} == {
        "slow",
        "fast",
    }


def test_columns_of_a_narrow_terminal_say_which_machine_they_are_of(tmp_path: Path) -> None:
    for name in ("amd-epyc-2t-e074", "amd-epyc-2t-a276", "amd-epyc-2t-eb82"):
        pool_worlds.packed(tmp_path, name, pool_worlds.records(name, pool_worlds.SPEEDS))
    ended = bench("unpack", *map(str, tmp_path.glob("*.zip")), "--results", "all", cwd=tmp_path)
    assert ended.code == 0, ended
    ended = bench(
        *("report", "--results", "all", "--no-page", "--columns", "throughput,ratio"),
        cwd=tmp_path,
        env={"COLUMNS": "60"},
    )
    assert ended.code == 0, ended
    _, _, table = ended.out.partition("Machines side by side · throughput")
    head, _, rest = table.partition("left out at 60 columns: ")
    assert head.count("× vit_s16 on") == head.count("× vit_s16") == 2, table
    assert "; " in rest.partition("medians")[0], "headers with commas are told apart"


def test_one_machine_has_nothing_beside_it() -> None:
    assert list(side_by_side([on("alone", speeds(1.0))])) == []
    assert list(side_by_side([on("a", speeds(1.0)[:1]), on("b", speeds(1.0)[1:])])) == []


@pytest.mark.usefixtures("one_figure")
def test_the_report_writes_them(results: Path) -> None:
    other = msgspec.structs.replace(MACHINE, name="another-cpu")
    for path in (results / MACHINE.name / "records").glob("*.jsonl"):
        target = results / other.name / "records" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(
            resealed(path.read_bytes().replace(MACHINE.name.encode(), other.name.encode()))
        )
    _, between = write_all(results)
    assert len(between) == 2
    text = (results / "machines.md").read_text()
    assert MACHINE.name in text
    assert other.name in text


def test_the_parts_of_a_gap_multiply_to_the_whole() -> None:
    """A model has 0.2 of a transformer's speed: 0.25 by grid, 1.6 by MACs, the rest by kernels."""
    draw = random.Random(1)
    models = {
        "convmixer_768_32": 2.0,
        "vit_384_12_p16_h6_m1440": 10.0,
        "vit_384_12_p7_h6_m1440": 2.5,
    }
    records = [
        synthetic.speed(
            model,
            synthetic.noisy(draw, value, 0.01, 10),
            family="convmixer" if model.startswith("conv") else "vit",
        )
        for model, value in models.items()
    ]
    counts = {
        "convmixer_768_32": 20e9,
        "vit_384_12_p16_h6_m1440": 5e9,
        "vit_384_12_p7_h6_m1440": 32e9,
    }
    records += [synthetic.count(model, 21e6, macs) for model, macs in counts.items()]
    [table] = gaps(summarise(records))
    [row] = table.cells
    assert [cell.text for cell in row[:3]] == list(models)
    whole, grid, mixer, kernels = (row[place].value or 0.0 for place in (3, 4, 5, 6))
    assert whole == pytest.approx(0.2, rel=0.03)
    assert grid == pytest.approx(0.25, rel=0.03)
    assert mixer == pytest.approx(1.6)
    assert kernels == pytest.approx(0.5, rel=0.03)
    assert grid * mixer * kernels == pytest.approx(whole, rel=1e-6)
    assert "inside" in row[7].text


def test_without_a_twin_there_is_no_split() -> None:
    records = [
        synthetic.speed("convmixer_768_32", [2.0] * 8, family="convmixer"),
        synthetic.count("convmixer_768_32", 21e6, 20e9),
    ]
    assert list(gaps(summarise(records))) == []


@pytest.mark.parametrize(
    ("model", "patch"),
    [
        *(
            ("convmixer_1024_20", 14),
            ("convmixer_768_32", 7),
            ("convmixer_256_8_k5_p2", 2),
            ("vit_s16", 16),
            ("vit_b32", 32),
        ),
        *(
            ("deit_s16", 16),
            ("vit_384_12_p7_h6_m1440", 7),
            ("mixer_544_8_p16_t272_m2176", 16),
            ("resnet50", None),
        ),
        ("timm:convnext_tiny", None),
    ],
)
def test_patches_by_name(model: str, patch: int | None) -> None:
    assert patch_of(model) == patch


def test_patches_by_name_are_those_of_the_models() -> None:
    from bench.plugins import models

    for entry in models.entries():
        shape = entry.shape
        if getattr(shape, "patch", None) and entry.family in ("convmixer", "vit", "mixer"):
            assert patch_of(entry.name) in (None, shape.patch), entry.name


def test_speed_records_of_one_machine_are_read_once(tmp_path: Path) -> None:
    folder = tmp_path / MACHINE.name / "records"
    path = speed_record(folder, "vit_s16", [1.0] * 6)
    from bench.analysis.machines import read

    [row] = read(folder.parent).summary.rows
    assert row.records == [path.name]
