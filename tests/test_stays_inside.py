"""In results folders that a stranger prepared, the program writes and deletes only inside them."""

from __future__ import annotations

import csv
import os
import re
import signal
import sys
import time
import zipfile
from pathlib import Path

import msgspec
import pytest

from bench.files.paths import inside, stem, stems
from bench.record.arms import AccuracyArm, SpeedArm
from bench.record.schema import Sample
from bench.report.written_files import NAME, settle

from . import conftest
from .conftest import fill, finished, speed_record
from .program import assert_one_line, bench, called, snapshot, start

MODELS = [
    "[/red]",
    "[bold]x",
    "x[old]y",
    r"$\x{$",
    "a\x1b[31mred",
    "=1+1",
    "@SUM(1)",
    "a\\|b",
    "x:smile:y",
    "__class__",
    "名前",
    "nul\0",
]
CPU = "<b>CPU</b> [/red] \x1b[31m | `x` [a](b)"
POLICIES = ("../../../POLICY", "x/../../../POLICY", "x-../../../policy")
NET = (
    "from torch import nn\n\ndef build(num_classes=10):\n"
    "    return nn.Sequential(nn.Flatten(), nn.Linear(192, num_classes))\n"
)
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return `tmp_path/a/b/results`, with hostile records.

    They contain paths, markup and control characters wherever text is allowed.
    """
    machine = msgspec.structs.replace(
        conftest.MACHINE, cpu=CPU, versions={"torch": "<i>2.6</i>\x1b[0m", "timm": "[/red]"}
    )
    monkeypatch.setattr(conftest, "MACHINE", machine)
    results = tmp_path / "a" / "b" / "results"
    folder = results / "machine" / "records"
    for number, model in enumerate(MODELS):
        speed_record(folder, model, [10.0 + number + 0.1 * (turn % 3) for turn in range(8)])
        conftest.count_record(folder, model, 1000 + number, 2000 + number)
    detail = {"correct": 330, "images": 360, "train_s": 12.0}
    share = Sample(metric="top1", unit="share", better="higher", values=[330 / 360], detail=detail)
    for model in ("vit_s16", "[/red]"):
        arm = AccuracyArm(
            model=model,
            image_size=224,
            num_classes=10,
            data="x/../../../ESCAPED",
            split="test",
            transform="none",
            recipe="digits",
            recipe_hash="0",
        )
        finished(folder, arm, [share], rounds=1)
    layers = {"layers": [["b", "linear", 0.1, 1e6]], "plain_s": 0.1}
    speed = Sample(metric="throughput", unit="image/s", better="higher", values=[5.0])
    layer = Sample(metric="layer_time", unit="s", better="none", values=[0.15], detail=layers)
    for policy in POLICIES:
        for model in ("vit_s16", "mixer_b16"):
            timed = SpeedArm(
                model=model,
                image_size=224,
                num_classes=1000,
                policy=policy,
                device="cpu",
                batch_size=1,
            )
            finished(folder, timed, [speed, layer])
    return results


def apart_from(results: Path, root: Path) -> dict[str, str]:
    """Everything below `root` that is not in the results folder."""
    return {
        name: what
        for name, what in snapshot(root).items()
        if not (root / name).is_relative_to(results)
    }


def test_a_report_of_hostile_records(hostile: Path, tmp_path: Path) -> None:
    """Text stays text in the terminal and in every file.

    A link, a pipe and the user's own notes are not touched.
    """
    machine = hostile / "machine"
    (tmp_path / "picture.png").write_text("somebody's")
    (machine / "layers_224_policy.png").symlink_to(tmp_path / "picture.png")
    (machine / "tables").mkdir()
    (machine / "tables" / "my_notes.tex").write_text("mine")
    (hostile / "published").mkdir()
    os.mkfifo(hostile / "published" / "pipe.csv")
    os.mkfifo(machine / "records" / "pipe.jsonl")
    before = apart_from(hostile, tmp_path)
    ended = bench("report", "--notes", "--results", hostile, cwd=tmp_path)
    assert ended.code == 2, ended
    assert "pipe.csv is a pipe" in ended.err and "pipe.jsonl is a pipe" in ended.err
    assert "my_notes.tex: not part of this report and left alone" in ended.err
    assert "Traceback" not in ended.text and "Warning" not in ended.text, ended
    assert apart_from(hostile, tmp_path) == before
    assert (machine / "tables" / "my_notes.tex").read_text() == "mine"
    assert not (machine / "layers_224_policy.png").is_symlink()
    for name in ("[/red]", "[bold]x", "x[old]y", r"$\x{$", r"a\x1b[31mred", "x:smile:y"):
        assert name in ended.out, name
    assert not CONTROL.search(ended.text)

    assert len(list(machine.glob("layers_224_*policy*.png"))) == len(POLICIES)
    assert list(machine.glob("pareto_*_x_escaped.svg"))
    files = [
        path
        for path in machine.rglob("*")
        if path.suffix in (".md", ".tex", ".csv", ".svg", ".bib")
    ]
    assert {path.suffix for path in files} == {".md", ".tex", ".csv", ".svg", ".bib"}
    for path in files:
        assert not CONTROL.search(path.read_text(encoding="utf-8")), path
    markdown = (machine / "report.md").read_text(encoding="utf-8")
    assert "<b>" not in markdown and "<i>" not in markdown
    for shown in (
        r"\|",
        r"a\\\|b",
        r"\_\_class\_\_",
        r"\$\\x{\$",
        r"[a\](b)",
        r"&lt;i&gt;2.6&lt;/i&gt;\\x1b[0m",
    ):
        assert shown in markdown, shown
    for path in (machine / "tables").glob("*.csv"):
        cells = [
            cell
            for row in csv.reader(path.read_text(encoding="utf-8").splitlines())
            for cell in row
        ]
        assert not [cell for cell in cells if cell.startswith(("=", "@"))]


LINKED = [
    ("machine/tables", ["report"]),
    ("machine/selection", ["report", "--family", "vit"]),
    ("machine/records", ["report"]),
    ("published", ["import", "theirs.csv", "--dataset", "imagenet"]),
    ("claims", ["claim", "resnet50 > deit_s16", "--on", "top1"]),
]


def test_links_that_lead_out_are_not_followed(hostile: Path, tmp_path: Path) -> None:
    """A clone may contain folders that are links; each is tried with a command that uses it."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "paper.tex").write_text("mine")
    (victim / "data.csv").write_text("mine")
    (victim / "report-files.json").write_text('{"files": {"paper.tex": "0"}}')
    speed_record(victim, "vit_s16", [1.0])
    (tmp_path / "theirs.csv").write_text("model,img_size,top1\nresnet50.a1_in1k,224,80.0\n")
    for name, arguments in LINKED:
        place = hostile / name
        kept = place.with_name("kept")
        if place.exists():
            place.rename(kept)
        place.symlink_to(os.path.relpath(victim, place.parent))
        before = apart_from(hostile, tmp_path)
        ended = called(*arguments, "--results", hostile, cwd=tmp_path)
        assert_one_line(ended, place.name, "link", "remove")
        assert apart_from(hostile, tmp_path) == before, name
        place.unlink()
        if kept.exists():
            kept.rename(place)


def test_nothing_is_read_behind_links(results: Path, tmp_path: Path) -> None:
    """A record, its arrays, a machine and a list of written files that are links are left out.

    Each is named, and the rest is shown.
    """
    [machine] = [path for path in results.iterdir() if path.is_dir()]
    theirs = tmp_path / "theirs"
    speed_record(theirs / "records", "stranger_net", [1.0 + 0.01 * turn for turn in range(8)])
    [record] = (theirs / "records").iterdir()
    (machine / "records" / record.name).symlink_to(record)
    (results / "linked").symlink_to(theirs)
    (results / "twice").symlink_to(machine)
    before = apart_from(results, tmp_path)
    told = ("linked", "twice", record.name)
    claim = ["claim", "vit_s16 > resnet50", "--on", "throughput"]
    for command in (["report", "--no-page"], ["study", "verdict"], claim, ["pack", "x.zip"]):
        ended = called(*command, "--results", results, cwd=tmp_path)
        assert all(name in ended.text for name in told), (command, ended)
        assert "stranger_net" not in ended.text.replace(record.name, ""), command
        assert "Traceback" not in ended.text, command
    (tmp_path / "x.zip").unlink()
    assert apart_from(results, tmp_path) == before


def test_pack_takes_nothing_from_outside(hostile: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("mine")
    link = hostile / "machine" / "records" / "x.speed.0123456789abcdef.jsonl"
    link.symlink_to(tmp_path / "secret")
    ended = called("pack", "mine.zip", "--results", hostile, cwd=tmp_path)
    assert f"{link.name}: it is a link" in " ".join(ended.text.split()).replace("/ ", "/"), ended
    with zipfile.ZipFile(tmp_path / "mine.zip") as archive:
        assert not any(link.name in name for name in archive.namelist())
    (tmp_path / "mine.zip").unlink()
    link.unlink()
    os.mkfifo(link)
    assert_one_line(
        called("pack", "mine.zip", "--results", hostile, cwd=tmp_path), link.name, "is a pipe"
    )
    link.unlink()
    (tmp_path / "mine.zip").unlink()
    os.mkfifo(tmp_path / "mine.zip")
    assert_one_line(
        called("pack", "mine.zip", "--results", hostile, cwd=tmp_path), "mine.zip", "is a pipe"
    )


def test_pipes_and_folders_in_place_of_files_hold_nothing_up(tmp_path: Path) -> None:
    """Records, published tables, imported files: each is named in a line, and the rest is used."""
    results = tmp_path / "results"
    folder = results / conftest.MACHINE.name / "records"
    for model in ("resnet50", "deit_s16"):
        speed_record(folder, model, [1.0] * 8)
    (results / "published").mkdir()
    os.mkfifo(results / "published" / "pipe.csv")
    (folder / "folder.jsonl").mkdir()
    os.mkfifo(folder / "pipe.jsonl")
    ended = bench("export", "out", "--results", results, cwd=tmp_path)
    assert "pipe.jsonl is a pipe" in ended.err and "folder.jsonl is a folder" in ended.err, ended
    assert len(list((tmp_path / "out").glob("benchmark-infer-*.csv"))) == 1
    ended = called(
        "claim", "resnet50 > deit_s16", "--on", "throughput", "--results", results, cwd=tmp_path
    )
    assert ended.code in (0, 1, 2) and "measured" in ended.out and "Traceback" not in ended.text, (
        ended
    )
    assert_one_line(
        called("import", results / "published" / "pipe.csv", cwd=tmp_path), "pipe.csv is a pipe"
    )
    assert_one_line(called("import", results / "published", cwd=tmp_path), "published is a folder")


def test_an_installation_is_a_name(tmp_path: Path) -> None:
    results = tmp_path / "a" / "results"
    results.mkdir(parents=True)
    (results / ".installation").write_text("x/../../outside\n")
    before = snapshot(tmp_path)
    ended = called(
        "run", "--models", "vit_s16", "--metrics", "params", "--results", results, cwd=tmp_path
    )
    assert_one_line(ended, ".installation", "short name")
    assert snapshot(tmp_path) == before


def test_names_are_no_markup_in_a_run(tmp_path: Path) -> None:
    """A folder, a file and a results folder with what rich would take for the end of a colour."""
    folder = tmp_path / "net[bold]x[old]y["
    folder.mkdir()
    (folder / "red].py").write_text(NET)
    model = "./net[bold]x[old]y[/red].py:build"
    arguments = (
        "--models",
        model,
        "--image-size",
        "8",
        "--num-classes",
        "10",
        "--metrics",
        "params",
        "--results",
        "r[/red]x[old]y",
    )
    ended = bench("run", *arguments, cwd=tmp_path)
    assert ended.code == 0, ended
    assert model in ended.out and "r[/red]x[old]y/" in ended.out
    again = called("report", "--results", "r[/red]x[old]y", cwd=tmp_path)
    assert again.code == 0, again
    assert model in again.out and "r[/red]x[old]y/report.html written" in again.out


def children(pid: int) -> list[int]:
    """Processes that a process started and that are still there."""
    return [
        int(word)
        for task in Path(f"/proc/{pid}/task").glob("*/children")
        for word in task.read_text().split()
    ]


def is_there(pid: int) -> bool:
    """Whether a process runs; one that ended and that nobody waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="draws in its own process"
)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_who_draws_ends_with_the_report(number: int, tmp_path: Path) -> None:
    results = fill(tmp_path / "results")
    process = start("report", "--results", results, cwd=tmp_path)
    try:
        drawing: list[int] = []
        figures: list[Path] = []
        until = time.monotonic() + 120
        while (
            time.monotonic() < until
            and process.poll() is None
            and not (len(drawing) >= 2 and figures)
        ):
            drawing = children(process.pid)
            figures = list(results.glob("*/*.png"))
            time.sleep(0.05)
        assert len(drawing) >= 2 and process.poll() is None
        (os.killpg if number == signal.SIGINT else os.kill)(
            process.pid, number
        )  # a terminal sends Ctrl-C to all
        _, complaint = process.communicate(timeout=60)
        assert "Traceback" not in complaint
        until = time.monotonic() + 60
        while any(map(is_there, drawing)) and time.monotonic() < until:
            time.sleep(0.05)
        assert not any(map(is_there, drawing))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    figures = [path for path in results.glob("*/*") if path.suffix in (".png", ".svg")]
    assert figures and all(path.stat().st_size for path in figures)
    if number == signal.SIGINT:
        assert not list(results.rglob(".*.tmp"))


def test_only_what_a_report_wrote_is_deleted(tmp_path: Path) -> None:
    """A file is deleted if it is stale and unchanged since it was written.

    A link, or a file that only a stranger's list names, is kept.
    """
    outside, folder = tmp_path / "outside", tmp_path / "machine"
    outside.mkdir()
    (folder / "tables").mkdir(parents=True)
    (outside / "paper.tex").write_text("x")
    paths = {
        name: folder / name
        for name in (
            "tables/old.csv",
            "tables/edited.tex",
            "tables/linked.tex",
            "old.png",
            "notes.md",
        )
    }
    for path in paths.values():
        path.write_text("x")
    new = folder / "tables" / "new.csv"
    new.write_text("x")
    assert settle(folder, paths.values()) == [new]
    listed = msgspec.json.decode((folder / NAME).read_bytes())
    digest = listed["files"]["tables/old.csv"]
    listed["files"] |= {
        "../outside/paper.tex": digest,
        "records/x.jsonl": digest,
        "tables/../../outside/paper.tex": digest,
    }
    (folder / NAME).write_bytes(msgspec.json.encode(listed))
    paths["tables/edited.tex"].write_text("mine")
    paths["tables/linked.tex"].unlink()
    paths["tables/linked.tex"].symlink_to(outside / "paper.tex")
    assert settle(folder, [new]) == []
    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert left == {NAME, "tables/edited.tex", "tables/linked.tex", "tables/new.csv", "notes.md"}
    assert (outside / "paper.tex").read_text() == "x"


def test_a_figure_left_behind_by_an_older_report_is_deleted(tmp_path: Path) -> None:
    """Versions that kept no list of figures left some, of whose studies the folder has no data."""
    (tmp_path / "tables").mkdir()
    drawn = {"resolution.svg", "study_kernel_speed_epyc.png", "policies_224.svg"}
    others = {"holiday.png", "resolutions.svg", "resolution_by_hand.png", "policies_224.txt"}
    for name in drawn | others:
        (tmp_path / name).write_bytes(b"<!-- Created with matplotlib -->")
    (tmp_path / "resolution_by_hand.png").write_bytes(b"from a camera")
    still = tmp_path / "policies_64.svg"
    still.write_bytes(b"<!-- Created with matplotlib -->")
    assert settle(tmp_path, [still], ["resolution", "policies", "study_kernel_speed"]) == []
    assert {path.name for path in tmp_path.iterdir()} == {*others, NAME, "tables", still.name}


@pytest.mark.parametrize("content", [b"", b"nonsense", b"[" * 100_000, b'{"files": 3}'])
def test_a_list_that_is_none_deletes_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "old.csv").write_text("x")
    (tmp_path / NAME).write_bytes(content)
    assert settle(tmp_path, []) == [tmp_path / "tables" / "old.csv"]


def test_file_names_from_text() -> None:
    hostile = [
        "../../x",
        "a/b",
        "a_b",
        "a\\b",
        "A_b",
        "",
        "..",
        "名前",
        "前名",
        "x" * 500,
        "x" * 501,
        "\0",
        "-rf",
        "a b",
        "con",
    ]
    one = [stem(text) for text in hostile]
    together = stems(hostile)
    for found in (one, together):
        assert len(set(found)) == len(hostile)
        assert all(re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,119}", name) for name in found), found
    assert stem("convmixer_768_32_over_vit_s16") == "convmixer_768_32_over_vit_s16"
    assert stems(["layers_224_channels_last+compile", "study_x_AMD EPYC"]) == [
        "layers_224_channels_last_compile",
        "study_x_amd_epyc",
    ]
    assert stems(["same", "same"])[0] == "same"


def test_inside_follows_links(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "within").mkdir(parents=True)
    (home / "near").symlink_to("within")
    (home / "far").symlink_to("..")
    (home / "ring").symlink_to("ring")
    assert inside(home, home / "near" / "new") == home / "near" / "new"
    for name in ("far", "far/x", "../x", "ring/x"):
        with pytest.raises(ValueError, match=r"link"):
            inside(home, home / name)


def test_a_machine_behind_two_links_is_not_written_to(results: Path, tmp_path: Path) -> None:
    """One leads out, and the second, out there, back in to the records."""
    [machine] = [path for path in results.iterdir() if path.is_dir()]
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "report.md").write_text("mine")
    (victim / "records").symlink_to(machine / "records")
    (results / "X").symlink_to(victim)
    before = snapshot(victim)
    ended = called("report", "--no-page", "--results", results, cwd=tmp_path)
    assert ended.code == 2 and "X: it is a link" in ended.text, ended
    assert snapshot(victim) == before
