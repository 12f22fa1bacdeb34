"""Damaged records and packs from others: commands name them, leave them out and use the rest."""

from __future__ import annotations

import shutil
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from bench.cli.app import main
from bench.errors import UsageError
from bench.measure import machine as environment
from bench.record import store
from bench.record.reading import read_below, read_folder

from . import bad_packs
from .conftest import MACHINE, accuracy_record, count_record, resealed, speed_record
from .odd_records import make_bad
from .pictures import Named
from .program import Ended, assert_one_line, bench, snapshot

RESULTS = Path(__file__).parent.parent / "results"
GOOD = ("vit_s16", "resnet50")
FIELD = b"x" * 200_000
"""More than the csv module reads."""


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_bad(tmp_path_factory.mktemp("bad") / "records")


@pytest.fixture
def strange(bad: dict[str, Path], tmp_path: Path) -> Path:
    """One machine with sound and damaged records, one with a damaged one only, and a bad table."""
    folder = tmp_path / "results" / MACHINE.name / "records"
    for number, model in enumerate(GOOD):
        speed_record(folder, model, [10.0 + number, 11.0, 12.0, 10.0, 11.0, 12.0])
        count_record(folder, f"{model}_counted", 1000, 2000)
        accuracy_record(folder, model, 300 + number)
    for path in bad.values():
        shutil.copy(path, folder)
    alone = tmp_path / "results" / "hopeless" / "records" / "bad_alone.speed.0.jsonl"
    alone.parent.mkdir(parents=True)
    alone.write_text("{}\n")
    (tmp_path / "results" / "published").mkdir()
    (tmp_path / "results" / "published" / "bad_table.csv").write_bytes(
        b"model,img_size,top1\n" + FIELD + b",1,1\n"
    )
    return tmp_path / "results"


def assert_named(ended: Ended, names: list[str]) -> None:
    """Exit code 2, one line for each of these files and no other, and no traceback."""
    assert ended.code == 2, ended
    assert "Traceback" not in ended.text, ended
    lines = [line for line in ended.err.splitlines() if line.startswith("bench: ")]
    assert len(lines) == len(names), ended.err
    for name in names:
        assert any(name in line for line in lines), (name, ended.err)


def test_every_bad_record_breaks_the_schema(bad: dict[str, Path]) -> None:
    for name, path in bad.items():
        with pytest.raises(store.DamagedRecord, match="restore the file or move it away") as caught:
            store.load(path)
        assert str(path) in str(caught.value), name
        assert len(str(caught.value).splitlines()) == 1


def test_every_record_of_ours_keeps_it() -> None:
    """Whatever is committed, of all formats, with the arrays beside it."""
    records, damaged = read_below(RESULTS)
    assert damaged == []
    assert {str(one.arm.__struct_config__.tag) for one in records} == {
        "count",
        "speed",
        "accuracy",
        "probe",
    }


def test_a_report_names_and_leaves_out_what_is_damaged(
    strange: Path, bad: dict[str, Path], tmp_path: Path
) -> None:
    before = snapshot(strange.parent)
    ended = bench("report", "--results", strange, cwd=tmp_path)
    assert_named(ended, [*(path.name for path in bad.values()), "bad_alone", "bad_table.csv"])
    page, report = (
        (strange / "report.html").read_text(),
        (strange / MACHINE.name / "report.md").read_text(),
    )
    for model in GOOD:
        assert model in ended.out and model in report and model in page
    assert "bad_" not in ended.out + report + page
    assert (strange / MACHINE.name / "pareto_params_224.png").exists() or list(
        (strange / MACHINE.name).glob("*.png")
    )
    after = snapshot(strange.parent)
    assert {name: after.get(name) for name in before} == before


def test_every_other_reader_says_so_too(
    strange: Path, bad: dict[str, Path], tmp_path: Path
) -> None:
    damaged = [*(path.name for path in bad.values()), "bad_alone"]
    claim = bench("claim", "resnet50 > vit_s16", "--on", "top1", "--results", strange, cwd=tmp_path)
    assert_named(claim, [*damaged, "bad_table.csv"])
    assert "verdict" in claim.out
    verdict = bench("study", "verdict", "--results", strange, cwd=tmp_path)
    assert_named(verdict, damaged)
    assert "no study is measured" in verdict.out
    assert_named(bench("export", "out", "--results", strange, cwd=tmp_path), damaged)
    assert list((tmp_path / "out").glob("*.csv"))
    folder = strange / MACHINE.name
    assert_named(bench("compare", folder, folder, cwd=tmp_path), damaged[:-1])
    packed = bench("pack", "mine.zip", "--results", strange, cwd=tmp_path)
    assert_named(packed, damaged)
    with zipfile.ZipFile(tmp_path / "mine.zip") as archive:
        assert not any("bad_" in name for name in archive.namelist())
    assert bench("verify", "mine.zip", cwd=tmp_path).code == 0


def test_a_data_frame_leaves_them_out_with_a_warning(strange: Path, bad: dict[str, Path]) -> None:
    import bench as package

    with pytest.warns(UserWarning) as caught:
        frame = package.load(strange)
    assert set(frame.model) == {name for model in GOOD for name in (model, f"{model}_counted")}
    told = "\n".join(str(one.message) for one in caught)
    assert all(path.name in told for path in bad.values())


def test_a_run_beside_a_damaged_record_says_what_to_do(
    bad: dict[str, Path], tmp_path: Path
) -> None:
    results = tmp_path / "results"
    machine = environment.describe("cpu", installation="abcd").name
    (results / machine / "records").mkdir(parents=True)
    (results / ".installation").write_text("abcd\n")
    shutil.copy(bad["no_processors"], results / machine / "records")
    before = snapshot(results)
    ended = bench(
        "run",
        "--models",
        "vit_digits",
        "--metrics",
        "params",
        "--device",
        "cpu",
        "--results",
        results,
        cwd=tmp_path,
    )
    assert_one_line(ended, bad["no_processors"].name, "line 3", "restore the file or move it away")
    assert snapshot(results) == before


# Arrays beside a record

ARRAYS = {
    "hello": b"hello",
    "half": bad_packs.curves()[:100],
    "other_images": bad_packs.curves(correct=bad_packs.np.ones(10, bool)),
    "other_count": bad_packs.curves(correct=bad_packs.np.arange(360) < 200),
    "shares": bad_packs.curves(correct=bad_packs.np.linspace(0, 1, 360)),
    "half_a_training": bad_packs.curves(select_top1=bad_packs.np.zeros(3)),
    "text": bad_packs.curves(names=bad_packs.np.array(["a", "b"])),
    "bomb": bad_packs.bomb(1 << 30),
}


@pytest.mark.parametrize("name", [*ARRAYS, "missing", "a folder"])
def test_arrays_that_are_not_the_records_take_it_out(name: str, tmp_path: Path) -> None:
    path = accuracy_record(tmp_path, "vit_s16", 300)
    accuracy_record(tmp_path, "resnet50", 310)
    beside = f"{path.stem}.r1.npz"
    path.write_bytes(
        resealed(path.read_bytes().replace(b'"arrays":null', b'"arrays":"%b"' % beside.encode()))
    )
    (tmp_path / beside).write_bytes(bad_packs.curves())
    assert read_folder(tmp_path)[1] == []
    (tmp_path / beside).unlink()
    if name == "a folder":
        (tmp_path / beside).mkdir()
    elif name != "missing":
        (tmp_path / beside).write_bytes(ARRAYS[name])
    records, [error] = read_folder(tmp_path)
    assert [one.arm.model for one in records] == ["resnet50"]
    assert str(path) in str(error) and beside in str(error)


# Packs


@pytest.mark.parametrize("name", list(bad_packs.PACKS))
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_bad_pack_is_refused_before_it_takes_memory(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, words = bad_packs.PACKS[name]
    path = tmp_path / "pack.zip"
    path.write_bytes(make(tmp_path / "made"))
    before = snapshot(tmp_path)
    tracemalloc.start()
    try:
        code = main(["verify", str(path)])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    told = capsys.readouterr()
    assert code in (1, 2) and told.out == ""
    assert words in told.err and "Traceback" not in told.err
    assert all(line.startswith("bench: ") for line in told.err.splitlines())
    assert peak < 100 << 20
    assert snapshot(tmp_path) == before


def test_the_program_itself_survives_a_nested_bomb(tmp_path: Path) -> None:
    (tmp_path / "pack.zip").write_bytes(
        bad_packs.sealed(bad_packs.honest(tmp_path / "made", bad_packs.bomb(1 << 30)))
    )
    assert (tmp_path / "pack.zip").stat().st_size < 50_000
    ended = bench("verify", "pack.zip", cwd=tmp_path)
    assert ended.code == 1 and "cannot be read" in ended.err and "Traceback" not in ended.text


# Nested thousands deep

SUITES = {
    "lists": "models = " + "[" * 20_000,
    "tables": "a = " + "{a=" * 20_000,
    "dots": "a." * 20_000 + "b = 1",
    "short_dots": "models.a.b = 1",
    "lists_in_lists": 'models = [["vit_s16"]]',
    "digits": f"rounds = {'9' * 5000}",
    "long": "# " + "x" * 300_000,
}


@pytest.mark.parametrize("name", list(SUITES))
def test_a_deep_suite_is_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "deep.toml"
    path.write_text(SUITES[name])
    assert main(["run", "--suite", str(path), "--dry-run"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("bench: --suite: ") and "deep.toml" in line and len(line) < 1000


def test_deep_metadata_of_a_checkpoint_is_one_line(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from bench.training import checkpoint

    path = tmp_path / "deep.safetensors"
    save_file({"weight": torch.ones(2)}, path, metadata={checkpoint.STATE: "[" * 100_000})
    with pytest.raises(
        UsageError,
        match=r"deep\.safetensors: not a complete safetensors file \(it is nested too deeply\)",
    ):
        checkpoint.load(path)


@pytest.mark.parametrize(
    "content", ["[" * 100_000, "{}", "[[1e999]]", '["ab"]', "hello", "[[" + "9" * 5000 + "]]"]
)
def test_labels_that_are_none_are_one_line(content: str, tmp_path: Path) -> None:
    import torch

    from bench.training.images.splits import Pictures
    from bench.training.weights import read_real

    (tmp_path / "real.json").write_text(content)
    part = Pictures(Named("val_1.JPEG"), torch.zeros(1), torch.zeros(1))
    with pytest.raises(UsageError, match=r"--labels: .*real\.json") as caught:
        read_real(f"real:{tmp_path / 'real.json'}", part)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--batch-sizes", 10**30), ("--image-size", 10**9), ("--num-classes", 10**12)],
)
def test_what_no_record_may_hold_is_refused_before_it_is_measured(
    flag: str, value: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--models", "vit_digits", flag, str(value), "--dry-run"]) == 2
    assert flag in capsys.readouterr().err
