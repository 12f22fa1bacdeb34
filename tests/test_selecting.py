"""`--family --where --sort --columns`: the rows that are kept, their order, and error messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.analysis.machines import machine_folders, read
from bench.analysis.rows import Summary
from bench.cli.app import main
from bench.errors import UsageError
from bench.report.selection import arrange, check, check_columns, select, selection
from bench.report.tables.reading_order import all_tables
from bench.report.write import write_all

from .conftest import MACHINE, accuracy_record, speed_record
from .program import bench

pytestmark = pytest.mark.usefixtures("one_figure")


def summary(results: Path) -> Summary:
    return read(machine_folders(results)[0]).summary


def kept(results: Path, **flags: object) -> set[str]:
    return {row.model for row in select(selection(**flags), summary(results)).rows}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("where", "models"),
    [
        ("params<22M", {"convmixer_768_32"}),
        ("params<=22050664 and macs>4G", {"convmixer_768_32", "vit_s16", "deit_s16"}),
        ("throughput>=11", {"vit_s16", "deit_s16", "resnet50"}),
        ("latency<100ms", {"vit_s16", "deit_s16", "resnet50"}),
        ("latency<0.1s, family!=vit", {"resnet50"}),
        ("family=mixer", {"mixer_b16"}),
        ("model==vit_s16", {"vit_s16"}),
        ("policy=fp32, params>50M", {"convmixer_1536_20", "mixer_b16"}),
        ("image_size=224, params>55e6", {"mixer_b16"}),
        ("top1>97%", {"mixer_b16", "resnet50"}),
        ("latency<100", {"vit_s16", "deit_s16", "resnet50"}),
        ("macs<5", {"vit_s16", "deit_s16", "resnet50"}),
        ("top1>97", {"mixer_b16", "resnet50"}),
        ("family=mixer or latency<80ms", {"mixer_b16", "vit_s16", "deit_s16"}),
        ("params<22M and latency<80 or top1>97% OR params>55M", {"mixer_b16", "resnet50"}),
        ("top1_published>81%", {"convmixer_1536_20"}),
        ("top1_published<77%", {"convmixer_1024_20", "mixer_b16", "resnet50"}),
    ],
)
def test_where(results: Path, where: str, models: set[str]) -> None:
    assert kept(results, where=where) == models


def test_family(results: Path) -> None:
    assert kept(results, family=("vit", "resnet")) == {"vit_s16", "deit_s16", "resnet50"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"where": "params 30M"}, "--where: cannot read 'params 30M'"),
        ({"where": "parms<30M"}, "did you mean params"),
        ({"where": "(params<1M or latency<20)"}, "brackets cannot be read"),
        ({"where": "params<1M or"}, "a condition is missing beside `or`"),
        ({"where": "params<1M and"}, "a condition is missing beside `and`"),
        ({"where": "params<1M and and latency<20"}, "a condition is missing beside `and`"),
        ({"where": ", params<1M"}, "a condition is missing beside `and` or a comma"),
        ({"where": "latency<1e999"}, "20ms would work"),
        ({"where": "top1_published>nine"}, "80% would work"),
        ({"where": "latency<20px"}, "20ms would work"),
        ({"where": "params<lots"}, "30M would work"),
        ({"where": "top1>80points"}, "80% would work"),
        ({"where": "family<vit"}, "family is text"),
        ({"where": "params<1"}, "no model in these records meets params < 1"),
        ({"family": ("swin",)}, "no model of the family 'swin'"),
    ],
)
def test_wrong_words_are_told_what_would_work(
    results: Path, flags: dict[str, object], message: str
) -> None:
    found = [summary(results)]
    with pytest.raises(UsageError, match="--") as caught:
        check(selection(**flags), found)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_sorting_is_best_first_by_the_columns_own_direction(results: Path) -> None:
    tables = all_tables(summary(results))
    for key, first in (
        ("latency", "vit_s16"),
        ("throughput", "vit_s16"),
        ("-throughput", "convmixer_1536_20"),
        ("params", "convmixer_768_32"),
    ):
        shown = arrange(selection(sort=key), tables)[0]
        assert shown.rows[0][0] == first, key
    assert [row[0] for row in arrange(selection(sort="model"), tables)[0].rows] == sorted(
        row[0] for row in tables[0].rows
    )


def test_columns_keep_what_says_whose_row_it_is(results: Path) -> None:
    shown = arrange(selection(columns=("latency", "params")), all_tables(summary(results)))
    assert shown[0].headers == ["model", "latency ms b1 ↓", "params ↓"]
    assert arrange(selection(columns=("model",)), all_tables(summary(results)))[0].headers == [
        "model"
    ]
    with pytest.raises(
        UsageError, match="--columns: no table has a column 'latncy'; did you mean latency"
    ):
        check_columns(selection(columns=("latncy",)), all_tables(summary(results)))


@pytest.mark.parametrize("flags", [{"sort": "latency"}, {"columns": ("latency",)}])
def test_an_order_or_columns_leave_the_whole_report_as_it_is(
    results: Path, flags: dict[str, object]
) -> None:
    write_all(results)
    folder = results / MACHINE.name
    before = {
        path: path.read_bytes() for path in [folder / "report.md", *(folder / "tables").iterdir()]
    }
    [report], _ = write_all(results, selection(**flags))  # type: ignore[arg-type]
    assert report.folder == folder / "selection"
    assert {path: path.read_bytes() for path in before} == before


def test_a_selection_is_written_beside_the_whole_report(results: Path) -> None:
    write_all(results)
    whole = (results / MACHINE.name / "report.md").read_bytes()
    [report], _ = write_all(results, selection(family=("vit",)))
    assert report.folder == results / MACHINE.name / "selection"
    assert (results / MACHINE.name / "report.md").read_bytes() == whole
    text = (report.folder / "report.md").read_text()
    assert "A selection: family vit" in text
    assert "mixer_b16" not in text


@pytest.mark.parametrize(
    "flags",
    [["--where", "parms<3"], ["--sort", "sped"], ["--columns", "nope"], ["--family", "swin"]],
)
def test_the_command_line_ends_with_one_line(
    results: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--results", str(results), *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"bench: {flags[0]}: ")
    assert error.count("\n") == 1
    assert not (results / MACHINE.name / "report.md").exists()


@pytest.mark.parametrize(
    ("format", "mark"), [("markdown", "| model"), ("csv", "model,params"), ("latex", r"\toprule")]
)
def test_formats_on_standard_output(
    results: Path, format: str, mark: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--results", str(results), "--format", format, "--no-page"]) == 0
    assert mark in capsys.readouterr().out


def test_top1_is_the_published_one_where_none_was_measured(tmp_path: Path) -> None:
    """As typed by somebody who has timed models and measured the top-1 of one of them."""
    records = tmp_path / "results" / MACHINE.name / "records"
    for model, seconds, timm in (
        ("vit_s16", 0.070, "vit_small_patch16_224"),
        ("deit_s16", 0.071, "deit_small_patch16_224"),
        ("convmixer_1536_20", 0.600, "convmixer_1536_20"),
        ("mine", 0.065, None),
    ):
        speed_record(records, model, [seconds] * 8, metric="latency", timm=timm)
    accuracy_record(records, "mine", 342)
    ended = bench("report", "--where", "top1>79 and latency<100", "--no-page", cwd=tmp_path)
    assert ended.code == 0, ended
    used = "--where compared top1 as measured of mine and as published for ImageNet-1k of deit_s16"
    assert used in " ".join(ended.out.split()), ended
    text = (records.parent / "selection" / "report.md").read_text()
    table = text.partition("## Efficiency")[2].partition("\n- ")[0]
    assert "deit_s16" in table and "mine" in table
    assert "vit_s16" not in table and "convmixer" not in table
    assert "A selection: top1" in text
