"""timm's CSV columns in and out, and what a wrong file is told."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bench import published
from bench.cli import main
from bench.errors import UsageError
from bench.exchange import EVALUATED, TIMED, export, import_csv, imported
from bench.report import machine_folders, read, write_all

from .conftest import MACHINE

pytestmark = pytest.mark.usefixtures("one_figure")

ACCURACIES = "model,img_size,top1,top1_err,top5,top5_err,param_count,crop_pct,interpolation\n"
SPEEDS = "model,infer_samples_per_sec,infer_step_time,infer_batch_size,infer_img_size,infer_gmacs,infer_macts,param_count\n"


def test_export_has_timms_columns_and_our_figures(results: Path, tmp_path: Path) -> None:
    written = export(read(machine_folders(results)[0]).summary, tmp_path / "out")
    by_kind = {path.name.partition("-")[0]: list(csv.DictReader(path.read_text().splitlines())) for path in written}
    speeds = {row["model"]: row for row in by_kind["benchmark"]}
    assert tuple(by_kind["benchmark"][0]) == TIMED
    assert tuple(by_kind["results"][0]) == EVALUATED
    row = speeds["vit_small_patch16_224"]
    assert row["infer_batch_size"] == "4"
    assert float(row["infer_step_time"]) == pytest.approx(4000 / float(row["infer_samples_per_sec"]), rel=1e-3)
    assert row["infer_gmacs"] == "4.60"
    assert row["param_count"] == "22.05"
    best = by_kind["results"][0]
    assert float(best["top1"]) + float(best["top1_err"]) == pytest.approx(100)


def test_what_is_exported_can_be_imported(results: Path, tmp_path: Path) -> None:
    for path in export(read(machine_folders(results)[0]).summary, tmp_path / "out"):
        _, rows = import_csv(path, tmp_path / "there", "a test")
        assert rows == 7
    found = imported(tmp_path / "there")
    assert len(found.accuracies) == len(found.speeds) == 7
    assert {one.source for one in found.accuracies} == {"a test"}


def test_imported_rows_are_marked_and_are_no_measurements(results: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "results-imagenet.csv"
    theirs.write_text(ACCURACIES + "vit_small_patch16_224.somebody_in1k,224,84.321,15.679,97.0,3.0,22.05,0.9,bicubic\n")
    assert main(["import", str(theirs), "--source", "somebody 2026", "--results", str(results)]) == 0
    [report], _ = write_all(results)
    shown = next(one for one in report.tables if one.title.startswith("Published ImageNet"))
    assert shown.published
    assert "84.3" in next(row for row in shown.rows if row[0] == "vit_s16")[1]
    assert "source: somebody 2026" in shown.notes
    measured = [cell for one in report.tables if not one.published for row in one.rows for cell in row]
    assert not any("84.3" in cell for cell in measured)
    assert "somebody 2026" in (results / MACHINE.name / "references.bib").read_text()


def test_a_known_row_is_not_counted_twice() -> None:
    known = next(row for row in published.rows() if row.architecture == "resnet50")
    assert published.of("resnet50", known.image_size, [known]) == published.of("resnet50", known.image_size)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", "has the columns a, b"),
        ("", "of no table"),
        (ACCURACIES, "no rows"),
        (ACCURACIES + "vit,224,eighty,1,1,1,1,1,x\n", "line 2: top1 is 'eighty'"),
        (ACCURACIES + "vit,224,180,1,1,1,1,1,x\n", "not a number from 0 to 100"),
        (ACCURACIES + "vit,224,nan,1,1,1,1,1,x\n", "line 2: top1 is 'nan'"),
        (ACCURACIES + "vit,,80\n", "have to be there"),
        (SPEEDS + "vit,-3,1,1,224,1,1,1\n", "line 2: infer_samples_per_sec"),
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


def test_a_place_that_cannot_be_written_is_named(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["export", str(tmp_path / "file" / "inside"), "--results", str(results)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"bench: {tmp_path}/file")
    assert error.count("\n") == 1
