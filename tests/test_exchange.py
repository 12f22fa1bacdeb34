"""timm's CSV columns in and out, and what a wrong file is told."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from bench.analysis import published
from bench.analysis.machines import machine_folders, read
from bench.analysis.published_csv import import_csv, imported
from bench.cli.app import main
from bench.errors import UsageError
from bench.exchange.timm_csv import EVALUATED, TIMED, export
from bench.record.arms import SpeedArm
from bench.record.schema import Sample
from bench.report.page.data import page_data
from bench.report.tables.reading_order import all_tables
from bench.report.write import write_all

from .conftest import MACHINE, finished
from .program import bench

pytestmark = pytest.mark.usefixtures("one_figure")

ACCURACIES = "model,img_size,top1,top1_err,top5,top5_err,param_count,crop_pct,interpolation\n"
TRAININGS = (
    "model,train_samples_per_sec,train_step_time,train_batch_size,train_img_size,param_count\n"
)
SPEEDS = (
    "model,infer_samples_per_sec,infer_step_time,infer_batch_size,infer_img_size,"
    "infer_gmacs,infer_macts,param_count\n"
)


def test_export_has_timms_columns_and_our_figures(results: Path, tmp_path: Path) -> None:
    written = export(read(machine_folders(results)[0]).summary, tmp_path / "out")
    by_kind = {
        path.name.partition("-")[0]: list(csv.DictReader(path.read_text().splitlines()))
        for path in written
    }
    speeds = {row["model"]: row for row in by_kind["benchmark"]}
    assert tuple(by_kind["benchmark"][0]) == TIMED
    assert tuple(by_kind["results"][0]) == EVALUATED
    row = speeds["vit_small_patch16_224"]
    assert row["infer_batch_size"] == "4"
    assert float(row["infer_step_time"]) == pytest.approx(
        4000 / float(row["infer_samples_per_sec"]), rel=1e-3
    )
    assert float(row["infer_gmacs"]) == pytest.approx(4.60, abs=0.005)
    assert float(row["param_count"]) == pytest.approx(22.05, abs=0.005)
    best = by_kind["results"][0]
    assert float(best["top1"]) + float(best["top1_err"]) == pytest.approx(100)


def test_what_is_exported_can_be_imported(results: Path, tmp_path: Path) -> None:
    for path in export(read(machine_folders(results)[0]).summary, tmp_path / "out"):
        assert import_csv(path, tmp_path / "there", "a test").rows == 7
    found = imported(tmp_path / "there")
    assert len(found.accuracies) == len(found.speeds) == 7
    assert {one.source for one in found.accuracies} == {"a test"}
    assert {one.dataset for one in found.accuracies} == {"digits"}


def test_imported_rows_are_marked_and_are_no_measurements(results: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "results-imagenet.csv"
    theirs.write_text(
        ACCURACIES
        + "vit_small_patch16_224.somebody_in1k,224,84.321,15.679,97.0,3.0,22.05,0.9,bicubic\n"
    )
    assert (
        main(["import", str(theirs), "--source", "somebody 2026", "--results", str(results)]) == 0
    )
    [report], _ = write_all(results)
    shown = next(one for one in report.tables if one.title.startswith("Published ImageNet"))
    assert shown.published
    assert "84.3" in next(row for row in shown.rows if row[0] == "vit_s16")[1]
    assert "source: somebody 2026" in shown.notes
    for one in report.tables:
        if not one.published:
            for row in one.rows:
                for header, cell in zip(one.headers, row, strict=True):
                    assert "84.3" not in cell or "published ‡" in header, (one.title, header)
    assert "somebody 2026" in (results / MACHINE.name / "references.bib").read_text()


def test_a_known_row_is_not_counted_twice() -> None:
    known = next(row for row in published.rows() if row.architecture == "resnet50")
    assert published.of("resnet50", known.image_size, [known]) == published.of(
        "resnet50", known.image_size
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", "has the columns a, b"),
        ("", "has no header"),
        (ACCURACIES, "no rows"),
        (ACCURACIES + "vit,224,eighty,1,1,1,1,1,x\n", "line 2: top1 is 'eighty'"),
        (ACCURACIES + "vit,224,180,1,1,1,1,1,x\n", "not a number from 0 to 100"),
        (ACCURACIES + "vit,224,nan,1,1,1,1,1,x\n", "line 2: top1 is 'nan'"),
        (ACCURACIES + "vit,,80\n", "img_size missing"),
        (SPEEDS + "vit,-3,1,1,224,1,1,1\n", "line 2: infer_samples_per_sec"),
        (ACCURACIES + "vit,224,80,20,95,5,1,1,x\n", "--dataset imagenet"),
        (SPEEDS + "vit,1,1,1,224,1,1,1,more\n", "more fields than the header has"),
    ],
)
def test_a_wrong_file_is_refused_by_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text(content)
    with pytest.raises(UsageError) as caught:
        import_csv(path, tmp_path / "results")
    assert message in str(caught.value)
    assert not (tmp_path / "results" / "published").exists()


def test_no_file_and_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(tmp_path / "missing.csv")]) == 2
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    assert main(["import", str(tmp_path / "binary.csv")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 2
    assert "Traceback" not in error


def test_a_place_that_cannot_be_written_is_named(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["export", str(tmp_path / "file" / "inside"), "--results", str(results)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"bench: {tmp_path}/file")
    assert error.count("\n") == 1


def test_timms_other_test_sets_stay_out_of_imagenets_figures(results: Path, tmp_path: Path) -> None:
    """By the plain command, with timm's file names: a table per data set, ImageNet's unchanged."""
    before = next(
        one
        for one in all_tables(read(machine_folders(results)[0]).summary)
        if one.title.startswith("Published ImageNet")
    )
    files = {
        "results-imagenet-a.csv": "ImageNet-A (200 classes)",
        "results-imagenet-a-clean.csv": "ImageNet-1k, the 200 classes of ImageNet-A",
        "results-imagenet-r.csv": "ImageNet-R (200 classes)",
        "results-imagenet-r-clean.csv": "ImageNet-1k, the 200 classes of ImageNet-R",
        "results-imagenet-real.csv": "ImageNet-1k, reassessed labels",
        "results-imagenetv2-matched-frequency.csv": "ImageNetV2, matched frequency",
        "results-sketch (1).csv": "ImageNet-Sketch",
    }
    for number, (name, label) in enumerate(files.items()):
        row = f"resnet50.new_in1k,224,{24.1 + number:.3f},75.9,50.0,50.0,25.56,0.95,bicubic"
        (tmp_path / name).write_text(f"{ACCURACIES.strip()},top1_diff\n{row},-60.123\n")
        assert main(["import", str(tmp_path / name), "--results", str(results)]) == 0, label
    (tmp_path / "mine.csv").write_text(
        ACCURACIES + "resnet50.new_in1k,224,33.000,67,60,40,25.56,0.95,bicubic\n"
    )
    assert (
        main(
            ["import", str(tmp_path / "mine.csv"), "--dataset", "My Own", "--results", str(results)]
        )
        == 0
    )
    tables = all_tables(read(machine_folders(results)[0]).summary)
    assert next(one for one in tables if one.title == before.title).rows == before.rows
    for number, label in enumerate([*files.values(), "my own"]):
        [shown] = [one for one in tables if one.title == f"Published top-1 · {label}"]
        assert shown.published
        assert [row[1] for row in shown.rows] == [
            f"{24.1 + number:.1f}" if label != "my own" else "33.0"
        ], label


def test_other_data_is_in_no_figure_and_not_on_the_page(results: Path, tmp_path: Path) -> None:
    [report], _ = write_all(results)
    before = {path.name: path.read_bytes() for path in report.figures}
    point = page_data([report])["points"]
    (tmp_path / "results-imagenet-a.csv").write_text(
        ACCURACIES + "resnet50.new_in1k,224,1.5,98.5,5,95,25.56,0.95,bicubic\n"
    )
    import_csv(tmp_path / "results-imagenet-a.csv", results)
    [report], _ = write_all(results)
    assert {path.name: path.read_bytes() for path in report.figures} == before
    assert page_data([report])["points"] == point


def test_a_row_of_a_failed_model_takes_only_itself(results: Path, tmp_path: Path) -> None:
    """As a user does it, on a file in timm's columns in which several models failed."""
    good = "".join(
        f"vit_small_patch16_224.tag{number},1234.56,2.1,256,224,1,1,28.59,\n"
        for number in range(1292)
    )
    bad = "".join(f"vit_huge_{number},,,,,,,,CUDA out of memory\n" for number in range(9))
    path = tmp_path / "benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv"
    path.write_text(f"{SPEEDS.strip()},error\n{bad}{good}")
    ended = bench("import", path.name, "--results", results, cwd=tmp_path)
    assert ended.code == 0, ended
    assert ended.out.startswith("1292 published rows kept in ") and "inference speed" in ended.out
    assert "9 of 1301 rows left out: line 2: infer_samples_per_sec and" in ended.err
    assert (
        "CUDA out of memory (vit_huge_0)" in ended.err
        and "and 4 more" in ended.err
        and ended.err.count("\n") == 1
    )
    assert {one.setting for one in imported(results).speeds} == {
        "amp-nchw-pt240-cu124-rtx4090 bs256 224 px"
    }


def test_training_speeds_are_read_as_such(results: Path, tmp_path: Path) -> None:
    path = tmp_path / "benchmark-train-amp-nhwc-pt112-cu113-rtx3090.csv"
    path.write_text(TRAININGS + "vit_small_patch16_224,777.25,50.423,512,224,22.05\n")
    assert main(["import", str(path), "--results", str(results)]) == 0
    summary = read(machine_folders(results)[0]).summary
    assert [one.setting for one in summary.imported.trainings] == [
        "amp-nhwc-pt112-cu113-rtx3090 bs512 224 px"
    ]
    tables = {one.title: one for one in all_tables(summary) if one.published}
    assert "777" in tables["Published training speed"].rows[0]
    assert not any(
        "777" in cell for row in tables["Published inference speed"].rows for cell in row
    )
    header = f"{SPEEDS.strip()},{TRAININGS.partition(',')[2]}"
    both = f"{header}vit_small_patch16_224,10,1,1,224,1,1,1,20,1,8,224,1\n"
    (tmp_path / "mine.csv").write_text(both)
    import_csv(tmp_path / "mine.csv", tmp_path / "other")
    found = imported(tmp_path / "other")
    assert [one.images_per_s for one in (*found.speeds, *found.trainings)] == [10.0, 20.0]


def test_no_cell_is_a_formula_and_numbers_stay_numbers(tmp_path: Path) -> None:
    cells = ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\t=1", "＝1", "x\x1b[31m"]
    rows = "".join(f'"{cell}",224,80,20,95,5,1,1,{cell},-1.5,+2\n' for cell in cells)
    (tmp_path / "results-imagenet.csv").write_text(
        f"{ACCURACIES.strip()},=diff,rank_diff\n{rows}", encoding="utf-8"
    )
    kept = import_csv(tmp_path / "results-imagenet.csv", tmp_path / "results", source="=cmd()")
    for row in csv.reader(kept.path.read_text(encoding="utf-8").splitlines()):
        for cell in row:
            assert cell.strip()[:1] not in ("=", "@", "＝") and "\x1b" not in cell
            assert cell[:1] not in ("+", "-") or float(cell)
        assert row[9:11] in (["'=diff", "rank_diff"], ["-1.5", "+2"])


def test_a_published_file_that_cannot_be_read_is_named_and_the_rest_is_shown(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Accuracies of older files without a data set are shown apart, as of unknown data."""
    folder = results / "published"
    folder.mkdir()
    (folder / "a.csv").write_text("nonsense\n")
    (folder / "b.csv").mkdir()
    (folder / "c.csv").write_text(
        ACCURACIES + "resnet50.new_in1k,224,71.5,28.5,90,10,25.56,0.95,bicubic\n"
    )
    (folder / "d.csv").write_text(SPEEDS + "resnet50,1,1,1,224,1,1,1\nresnet50,,1,1,224,1,1,1\n")
    assert main(["report", "--results", str(results)]) == 2
    told = capsys.readouterr()
    assert [
        part in told.err for part in ("a.csv", "b.csv is a folder", "d.csv: 1 of 2 rows left out")
    ] == [True] * 3
    assert told.err.count("\n") == 3
    assert "Published top-1 · a data set that its file does not name" in told.out


def test_a_known_speed_is_not_counted_twice() -> None:
    known = [
        replace(one, setting=one.setting.replace(".0 ", " "), source="somebody")
        for one in published.speeds()
    ]
    new = replace(known[0], setting="mine bs1 224 px")
    assert published.with_more_speeds([*known, new]) == [*published.speeds(), new]


def test_no_source_names_a_file_that_nobody_has() -> None:
    sources = {one.source for one in (*published.rows(), *published.speeds())}
    assert not [source for source in sources if "facts" in source.lower()]


def test_two_texts_never_share_a_file(results: Path, tmp_path: Path) -> None:
    """Machines and policies may be called alike but for characters that file names do without."""
    folder = results / MACHINE.name / "records"
    for policy in ("fp32+compile", "fp32-compile", "../fp32/compile"):
        arm = SpeedArm(
            model="vit_s16",
            image_size=224,
            num_classes=1000,
            policy=policy,
            device="cpu",
            batch_size=4,
        )
        finished(
            folder,
            arm,
            [Sample(metric="throughput", unit="image/s", better="higher", values=[1.0])],
        )
    written = export(read(machine_folders(results)[0]).summary, tmp_path / "out")
    assert len(written) == len(set(written)) == 5
    assert {path.parent for path in written} == {tmp_path / "out"}
    assert all(path.is_file() for path in written)
