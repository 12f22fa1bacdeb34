"""Records to tables and figures: what is shown, what is marked, what never mixes."""

from __future__ import annotations

import csv
import io
import re
import shutil
from pathlib import Path

import pytest

from bench.analysis import published
from bench.analysis.machines import machine_folders
from bench.analysis.rows import Summary
from bench.analysis.summary import summarise
from bench.cli.app import main
from bench.plugins import Figure, figures
from bench.record import store
from bench.record.schema import EndLine
from bench.report import formats
from bench.report.figures import drawings
from bench.report.selection import arrange, selection
from bench.report.table import slug
from bench.report.tables.reading_order import Table, all_tables, efficiency
from bench.report.write import markdown, write, write_all
from bench.stats.formatting import estimate, interval, number
from bench.stats.intervals import Estimate

from .conftest import MACHINE, count_record, resealed, sound_pair, speed_record


def summary_of(results: Path) -> Summary:
    records, damaged = store.load_folder(results / MACHINE.name / "records")
    assert damaged == []
    return summarise(records)


def table(results: Path, start: str) -> Table:
    return next(one for one in all_tables(summary_of(results)) if one.title.startswith(start))


def test_the_efficiency_table(results: Path) -> None:
    shown = table(results, "Efficiency")
    assert shown.headers == [
        "model",
        "params ↓",
        "GMACs¹ ↓",
        "latency ms b1 ↓",
        "img/s b4 ↑",
        "× vit_s16",
        "top-1 % as published ‡ ↑",
    ]
    rows = {row[0]: row[1:] for row in shown.rows}
    assert rows["convmixer_1536_20"][:2] == ["51,625,960", "51.10"]
    assert rows["mixer_b16"][:2] == ["59,880,472", "12.60"]
    assert rows["vit_s16"][4] == "1"
    assert rows["mixer_b16"][4] == "0.39 [0.39, 0.39]"
    assert shown.rows[0][0] == "vit_s16"  # fastest first
    notes = "\n".join(shown.notes)
    assert "norm layers not counted; no convolution, matrix product or attention uncounted" in notes
    assert (
        "budgets: parameters 0.90 to 2.46 ×, MACs 0.69 to 2.12 × those of convmixer_1024_20"
        in notes
    )
    assert "A/A check deit_s16 : vit_s16 (one graph, so the ratio should be 1) = 0.99" in notes
    assert "--data imagenet:/path" in notes
    assert "convmixer_1024_20@in1k" in notes


@pytest.mark.usefixtures("one_figure")
def test_a_renamed_folder_is_called_by_its_name(results: Path, tmp_path: Path) -> None:
    kept = tmp_path / f"{MACHINE.name}-before"
    shutil.copytree(results / MACHINE.name / "records", kept / "records")
    assert (write(kept).folder / "report.md").read_text().startswith(f"# {MACHINE.name}-before\n")


def test_an_uncounted_convolution_is_shouted(tmp_path: Path) -> None:
    folder = tmp_path / MACHINE.name / "records"
    path = count_record(folder, "x", 1, 1)
    path.write_bytes(resealed(path.read_bytes().replace(b"aten::add", b"aten::_convolution_mode")))
    speed_record(folder, "x", [1.0])
    assert "UNCOUNTED: aten::_convolution_mode" in "\n".join(
        next(efficiency(summary_of(tmp_path))).notes
    )


def test_a_failed_arm_shows_its_status_in_the_cell(tmp_path: Path) -> None:
    folder = tmp_path / MACHINE.name / "records"
    speed_record(folder, "vit_s16", [1.0])
    path = speed_record(folder, "mixer_b16", [])
    path.write_bytes(path.read_bytes().rpartition(b'{"type":"end"')[0])
    store.append(
        path, EndLine(run="r1", status="oom", metrics=["throughput"], error="out of memory")
    )
    shown = next(efficiency(summary_of(tmp_path)))
    assert next(row for row in shown.rows if row[0] == "mixer_b16")[1] == "oom"
    assert "mixer_b16, batch 4: oom: out of memory" in shown.notes


def test_the_digits_table_says_what_it_is_and_holds_the_baseline(results: Path) -> None:
    shown = table(results, "Top-1 · digits")
    assert "a pipeline check" in shown.notes
    assert shown.rows[-1][0] == "logistic-regression"
    assert shown.rows[0][3] == "98.3 [96.4, 99.2]"
    assert shown.rows[0][5] == "1"


def test_published_accuracies_are_ranges_in_a_table_of_their_own_or_marked(results: Path) -> None:
    shown = table(results, "Published")
    rows = {row[0]: row for row in shown.rows}
    assert rows["resnet50"][1].startswith("76.2 to ")
    assert rows["convmixer_1024_20"][1] == "76.9"
    assert any(note.startswith("source: timm@") for note in shown.notes)
    for one in all_tables(summary_of(results)):
        if one.title.startswith("Published"):
            continue
        for row in one.cells:
            for column, cell in zip(one.columns, row, strict=True):
                assert "76.9" not in cell.text or "‡" in column.name
                assert "‡" not in column.name or cell.value is None


def test_published_rows_know_their_data() -> None:
    rows = {(row.architecture, row.tag): row for row in published.rows()}
    assert rows["mixer_b16_224", "miil_in21k_ft_in1k"].more_data
    # Its tag says otherwise, but its author says that these are the ImageNet-1k weights (see the
    # row's source).
    assert not rows["mixer_b16_224", "goog_in21k_ft_in1k"].more_data
    assert not rows["resnet50", "a1_in1k"].more_data
    assert published.tag_to_evaluate("vit_small_patch16_224") == "augreg_in1k"


@pytest.mark.parametrize("entry", figures.entries(), ids=lambda entry: entry.name)
def test_every_figure_draws_from_records_alone(entry: Figure, results: Path) -> None:
    for stem, figure in drawings(entry, summary_of(results)).items():
        assert re.fullmatch(r"[a-z0-9_]+", stem)
        figure.savefig(io.BytesIO(), format="svg")


@pytest.mark.parametrize(
    "entry",
    [one for one in figures.entries() if one.name.startswith("pareto")],
    ids=lambda entry: entry.name,
)
def test_labels_do_not_overlap(entry: Figure, results: Path) -> None:
    from matplotlib.text import Annotation

    for figure in entry.draw(summary_of(results)).values():
        figure.draw_without_rendering()
        labels = [
            text
            for text in figure.axes[0].texts
            if isinstance(text, Annotation) and text.get_text()
        ]
        boxes = [label.get_window_extent() for label in labels]
        assert len(boxes) == 7
        for number_, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:number_]), [
                label.get_text() for label in labels
            ]
            assert figure.bbox.containsx(box.x0)
            assert figure.bbox.containsx(box.x1)


def test_published_points_are_hollow_and_measured_ones_filled(results: Path) -> None:
    drawn = figures.get("pareto_throughput").draw(summary_of(results))
    assert set(drawn) == {"pareto_throughput_digits", "pareto_throughput_imagenet_published"}
    for stem, hollow in (
        ("pareto_throughput_digits", False),
        ("pareto_throughput_imagenet_published", True),
    ):
        faces = {
            line.get_markerfacecolor()
            for line in drawn[stem].axes[0].lines
            if line.get_marker() not in ("None", "") and len(line.get_xdata())
        }
        assert (faces == {"white"}) is hollow


def test_the_report_is_written_beside_the_records_and_is_the_same_twice(results: Path) -> None:
    [folder] = machine_folders(results)
    first = write(folder)
    names = {path.name for path in first.figures}
    for metric in ("throughput", "params", "macs"):
        for suffix in ("png", "svg"):
            assert f"pareto_{metric}_imagenet_published.{suffix}" in names
            assert f"pareto_{metric}_digits.{suffix}" in names
    content = {path: path.read_bytes() for path in [*first.figures, folder / "report.md"]}
    write(folder)
    assert {path: path.read_bytes() for path in content} == content


def test_names_from_strangers_are_text(tmp_path: Path) -> None:
    folder = tmp_path / MACHINE.name / "records"
    speed_record(folder, "<script>alert(1)</script>|[bold]x`", [1.0])
    text = markdown(summary_of(tmp_path), all_tables(summary_of(tmp_path)), [])
    assert "<script>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\|[bold]x\\`" in text


@pytest.mark.usefixtures("one_figure")
def test_a_damaged_record_is_named_and_the_rest_is_rendered(results: Path) -> None:
    [folder] = machine_folders(results)
    bad = next((folder / "records").glob("mixer_b16.speed.*"))
    bad.write_text("nonsense\n")
    written = write(folder)
    assert len(written.damaged) == 1
    assert "vit_s16" in (folder / "report.md").read_text()


def test_numbers() -> None:
    assert [number(value) for value in (0, 1.2345, 62.44, 633.2, 22050.6, 0.01234)] == [
        "0",
        "1.23",
        "62.4",
        "633",
        "22,051",
        "0.0123",
    ]
    assert estimate(Estimate(0.0624, 0.0615, 0.0633, 9), "s") == "62.4 ±0.9"
    assert estimate(Estimate(0.0624), "s") == "62.4"
    assert interval(Estimate(0.37, 0.36, 0.38, 9)) == "0.37 [0.36, 0.38]"


def test_an_edited_model_file_supersedes_what_was_measured_of_it(tmp_path: Path) -> None:
    import msgspec

    folder = tmp_path / MACHINE.name / "records"
    old = speed_record(folder, "./net.py:build", [1.0] * 6)
    head = store.load(old).head
    arm = msgspec.structs.replace(head.arm, source="edited")
    new = store.create(folder, arm, head.settings, head.about)
    lines = old.read_text().splitlines()[1:]
    text = new.read_text() + "\n".join(lines).replace("2026-01-01", "2026-01-02").replace(
        '"values":[1.0]', '"values":[7.0]'
    )
    new.write_bytes(resealed(text.encode()))
    [row] = summary_of(tmp_path).rows
    found = row.value("throughput")
    assert found is not None
    assert (found.value, found.low, found.high, found.n) == (
        7.0,
        pytest.approx(7.0),
        pytest.approx(7.0),
        6,
    )


def damage(results: Path) -> dict[str, Path]:
    """Four records that cannot be used, each in its own way."""
    folder = results / MACHINE.name / "records"
    paths = {
        name: speed_record(folder, name, [1.0] * 6)
        for name in ("other_format", "cut_short", "nan", "foreign_unit")
    }
    edit(paths["other_format"], b'"format":7', b'"format":99')
    paths["cut_short"].write_bytes(paths["cut_short"].read_bytes()[:-40])
    edit(paths["nan"], b'"values":[1.0]', b'"values":[NaN]')
    edit(paths["foreign_unit"], b'"unit":"image/s"', b'"unit":"furlong"')
    return paths


def edit(path: Path, old: bytes, new: bytes) -> None:
    """Change a record, with checksums that fit: what is wrong with it is what is said here."""
    path.write_bytes(resealed(path.read_bytes().replace(old, new)))


@pytest.mark.usefixtures("one_figure")
def test_each_damaged_record_is_named_and_the_rest_is_complete(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [folder] = machine_folders(results)
    whole = {table.title: table.rows for table in write(folder).tables}
    paths = damage(results)
    assert main(["report", "--results", str(results)]) == 2
    captured = capsys.readouterr()
    shown = captured.out + captured.err
    for name, path in paths.items():
        assert path.name in shown.replace("\n", ""), name
    assert "Traceback" not in shown
    assert "furlong" in captured.err
    assert "format 99" in captured.err
    after = {table.title: table.rows for table in write(folder).tables}
    for title, rows in whole.items():
        names = {row[0] for row in after[title]}
        assert {row[0] for row in rows} <= names, title


def test_units_directions_and_arms_of_records_are_those_of_the_metrics() -> None:
    """A metric that is not released yet needs no row (tests/test_newcomers.py)."""
    from bench.plugins import metrics
    from bench.record.metric_units import METRICS

    known = {name: (one.unit, one.better, one.arm) for name, one in METRICS.items()}
    declared = {entry.name: (entry.unit, entry.better, entry.arm) for entry in metrics.entries()}
    assert known.items() <= declared.items()


@pytest.mark.usefixtures("one_figure")
def test_every_format_is_written(results: Path) -> None:
    [folder] = machine_folders(results)
    report = write(folder)
    for table in report.tables:
        for suffix in (".csv", ".tex"):
            assert (folder / "tables" / f"{slug(table.title)}{suffix}").stat().st_size
    for name in ("methods.tex", "references.bib", "report.md"):
        assert (folder / name).stat().st_size
    (folder / "tables" / "mine.csv").write_text("x")
    for path in (folder / "records").glob("*.accuracy.*"):
        path.unlink()
    fewer = write(folder)
    gone = {slug(table.title) for table in report.tables} - {
        slug(table.title) for table in fewer.tables
    }
    assert gone
    assert {path.stem for path in (folder / "tables").iterdir()} == {
        slug(table.title) for table in fewer.tables
    } | {"mine"}


def test_the_best_and_what_cannot_be_told_from_it_are_marked(results: Path) -> None:
    shown = table(results, "Efficiency")
    place = next(place for place, column in enumerate(shown.columns) if column.key == "throughput")
    assert [row[0].text for row in shown.cells if row[place].best] == ["vit_s16"]
    params = next(place for place, column in enumerate(shown.columns) if column.key == "params")
    assert [row[0].text for row in shown.cells if row[params].best] == ["convmixer_768_32"]
    assert any(note.startswith("bold: the best") for note in shown.notes)


def test_two_that_are_alike_are_both_marked(tmp_path: Path) -> None:
    folder = tmp_path / "results" / MACHINE.name / "records"
    drift = [1.0, 1.1, 0.9, 1.05, 0.95, 1.02, 0.98, 1.01]
    noise = [1.01, 0.99, 1.02, 0.98, 1.0, 1.01, 0.99, 1.0]
    speed_record(folder, "one", [10 * value for value in drift])
    speed_record(
        folder, "other", [10 * value * more for value, more in zip(drift, noise, strict=True)]
    )
    speed_record(folder, "slow", [5 * value for value in drift])
    sound_pair(folder)
    [shown] = [
        one
        for one in all_tables(summary_of(tmp_path / "results"))
        if one.title.startswith("Efficiency")
    ]
    assert {row[0].text for row in shown.cells if row[1].best} == {"one", "other"}


def test_an_empty_cell_knows_what_fills_it_and_how_long_that_takes(results: Path) -> None:
    folder = results / MACHINE.name / "records"
    speed_record(folder, "resnet101", [5.0] * 8, family="resnet")
    shown = table(results, "Efficiency")
    [row] = [row for row in shown.cells if row[0].text == "resnet101"]
    empty = [cell.fill for cell in row if cell.fill]
    assert {one.metric for one in empty} == {"params", "macs", "latency"}
    assert empty[-1].command == "python -m bench run --models resnet101 --metrics latency"
    assert all(one.want for one in empty)
    assert any(
        note.startswith(
            "empty cells are filled by: python -m bench run --models resnet101 --metrics"
        )
        and note.endswith("on this machine)")
        for note in shown.notes
    )


def test_a_few_rounds_tell_nothing_apart(tmp_path: Path) -> None:
    folder = tmp_path / "results" / MACHINE.name / "records"
    for model, speed in (("fast", 10.0), ("slow", 9.0)):
        speed_record(folder, model, [speed] * 3)
    [shown] = [
        one
        for one in all_tables(summary_of(tmp_path / "results"))
        if one.title.startswith("Efficiency")
    ]
    assert not any(row[1].best for row in shown.cells)


def test_published_top1_stands_beside_speeds_as_a_marked_range(results: Path) -> None:
    """Never as a value: the middle of resnet50's 76.2 to 80.8 is nobody's accuracy."""
    [report] = write_all(results)[0]
    table = next(one for one in report.tables if one.title.startswith("Efficiency"))
    keys = [column.key for column in table.columns]
    place = keys.index("top1_published")
    assert keys[place - 1] == "ratio"
    assert table.headers[place] == "top-1 % as published ‡ ↑"
    cells = {row[0].text: row[place] for row in table.cells}
    assert cells["resnet50"].text == "76.2 to 80.8"
    assert cells["resnet50"].value is None
    assert not any(cell.best for cell in cells.values())
    assert any(note.startswith("‡ published by others, not measured here") for note in table.notes)
    [row] = [
        row
        for row in csv.DictReader(io.StringIO(formats.csv_text(table)))
        if row["model"] == "resnet50"
    ]
    name = "top_1_percent_as_published"
    assert row[name] == "76.2 to 80.8"
    assert float(row[f"{name}_low"]) == pytest.approx(76.2, abs=0.1)
    assert float(row[f"{name}_high"]) == pytest.approx(80.8, abs=0.1)
    [best_first] = arrange(selection(sort="top1_published"), [table])
    assert best_first.cells[0][0].text == "convmixer_1536_20"
    [worst_first] = arrange(selection(sort="-top1_published"), [table])
    assert worst_first.cells[0][0].text == "mixer_b16"
