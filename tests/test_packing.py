"""Packs: the same records give the same bytes; any change is named; nothing escapes the folder."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from bench.cli.app import main
from bench.errors import UsageError
from bench.exchange.pack import MANIFEST, pack, verify

from . import synthetic
from .conftest import MACHINE, probe_record, resealed
from .pool_worlds import records
from .program import assert_one_line, bench, called


@pytest.fixture
def packed(results: Path, tmp_path: Path) -> Path:
    target = tmp_path / "mine.zip"
    assert pack(results, target).files > 20
    return target


def changed(packed: Path, name_part: str, old: bytes, new: bytes) -> str:
    """Rewrite one file of a pack; returns its name."""
    with zipfile.ZipFile(packed) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    [name] = [name for name in contents if name_part in name]
    assert old in contents[name]
    contents[name] = contents[name].replace(old, new, 1)
    with zipfile.ZipFile(packed, "w") as archive:
        for at, content in contents.items():
            archive.writestr(at, content)
    return name


def forge(packed: Path) -> None:
    """Make the manifest and all checksums fit whatever is in the pack."""
    from bench.exchange.pack import make_manifest

    with zipfile.ZipFile(packed) as archive:
        contents = {name: archive.read(name) for name in archive.namelist() if name != MANIFEST}
    contents = {
        name: resealed(content) if content.endswith(b"}\n") else content
        for name, content in contents.items()
    }
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in {MANIFEST: make_manifest(contents), **contents}.items():
            archive.writestr(name, content)


def test_untouched_it_is_accepted(
    packed: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = verify(packed)
    assert found.problems == []
    assert (found.records, found.machines) == (found.files, [MACHINE.name])
    pack(results, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()
    assert main(["verify", str(packed)]) == 0
    assert "accepted" in capsys.readouterr().out


def test_a_changed_sample_is_named(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = changed(packed, "/vit_s16.count.", b"22050664", b"22050665")
    assert any(name in problem and "SHA-256" in problem for problem in verify(packed).problems)
    assert main(["verify", str(packed)]) == 1
    assert name in capsys.readouterr().err


def test_a_count_that_cannot_be_is_refused_even_with_a_fitting_manifest(packed: Path) -> None:
    changed(packed, "resnet50.count.", b"25557032", b"25557031")
    forge(packed)
    [problem] = verify(packed).problems
    assert "25,557,031 parameters; resnet50 has 25,557,032" in problem


def test_an_unequal_sentinel_pair_is_refused_even_with_a_fitting_manifest(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    for name, content in contents.items():
        if "deit_s16.speed" in name:
            lines = [json.loads(line) for line in content.splitlines()]
            for line in lines:
                line.pop("crc")
                for sample in line.get("samples", ()):
                    sample["values"] = [2 * value for value in sample["values"]]
            contents[name] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    forge(packed)
    assert any("A/A pair" in problem for problem in verify(packed).problems)


def test_changed_hashes_and_lists_are_named(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        manifest = json.loads(archive.read(MANIFEST))
    first = sorted(manifest["files"])[0]
    changed(packed, MANIFEST, manifest["files"][first].encode(), b"0" * 64)
    problems = verify(packed).problems
    assert any(MANIFEST in problem for problem in problems) and any(
        first in problem for problem in problems
    )


OUTSIDE = [
    "../outside.jsonl",
    "/etc/records/x.jsonl",
    "a/records/../../x.jsonl",
    "a/records/x.py",
    "a\\records/x/y.jsonl",
    "x.jsonl",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_would_leave_the_folder_is_refused_unread(
    name: str, packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(name, "x")
    assert main(["verify", str(packed)]) == 2
    assert "is refused unread" in capsys.readouterr().err


def test_what_is_no_pack_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no.zip").write_bytes(b"nothing")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    for name in ("no.zip", "empty.zip", "missing.zip"):
        assert main(["verify", str(tmp_path / name)]) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1 and "Traceback" not in told
    assert main(["pack", str(tmp_path / "x.zip"), "--results", str(tmp_path / "none")]) == 2


def test_a_record_cut_short_is_named(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in contents if "mixer_b16.speed" in name)
    contents[name] = contents[name][:-20]
    with zipfile.ZipFile(packed, "w") as archive:
        for at, content in contents.items():
            archive.writestr(at, content)
    forge(packed)
    assert any(name in problem and "cut short" in problem for problem in verify(packed).problems)


def test_records_as_a_frame(results: Path) -> None:
    import bench

    frame = bench.load(results)
    speeds = frame[(frame.metric == "throughput") & (frame.phase == "measure") & ~frame.disturbed]
    medians = speeds.groupby("model").value.median()
    assert medians["vit_s16"] == pytest.approx(13.2 * 1.01, rel=0.01)
    assert set(frame.unit[frame.metric == "latency"]) == {"s"}
    assert set(frame.machine) == {MACHINE.name}
    assert len(frame[frame.metric == "throughput"]) == 7 * 8
    with pytest.raises(ValueError, match="no records below"):
        bench.load(results / "nothing")


def test_what_verify_would_refuse_is_named(tmp_path: Path) -> None:
    """Left out: a machine without a run, a count that can't be, a folder too deep.

    A restless machine is packed: it may have counts and accuracies, and reports grade its speeds.
    """
    results = tmp_path / "results"
    idle = records("idle")
    for record in idle:
        record.runs, record.rounds, record.ends = [], [], []
    synthetic.write(results / "idle", idle)
    synthetic.write(results / "deep" / "deeper", records("deeper"))
    synthetic.write(results / "odd", [synthetic.count("resnet50", 25_557_031, 4.089e9)])
    refused = bench("pack", "none.zip", "--results", results, cwd=tmp_path)
    assert refused.code == 2 and not (tmp_path / "none.zip").exists(), refused
    assert_one_line(refused, "deep/deeper: left out, as it is not in")
    synthetic.write(results / "good", records("good"))
    restless = [1.0, 9.0, 2.0, 8.0, 1.0, 9.0, 2.0, 8.0]
    probe_record(results / "restless" / "records", restless)
    ended = bench("pack", "some.zip", "--results", results, cwd=tmp_path)
    assert ended.code == 2 and "6 files packed" in ended.out, ended
    lines = ended.err.splitlines()
    assert len(lines) == 4, ended
    for line, words in zip(
        lines,
        (
            f"{results}/deep/deeper: left out, as it is not in",
            "resnet50 has 25,557,032",
            f"{results}/idle: left out: no run in any record",
            "restless: the drift check varied by ",
        ),
        strict=True,
    ):
        assert words in line, lines
    assert called("verify", "some.zip", cwd=tmp_path).code == 1
    assert called("unpack", "some.zip", "--results", "home", cwd=tmp_path).code == 0
    (results / "restless").rename(tmp_path / "restless")
    assert called("pack", "rest.zip", "--results", results, cwd=tmp_path).code == 2
    accepted = called("verify", "rest.zip", cwd=tmp_path)
    assert accepted.code == 0 and "5 records of good" in accepted.out, accepted


def test_a_pack_that_could_not_be_read_again_is_not_written(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More files than are read, the list among them, or more bytes than an archive may become."""
    files = len(list(results.rglob("*.jsonl")))
    monkeypatch.setattr("bench.exchange.pack.MOST_FILES", files)
    assert_one_line(
        called("pack", "x.zip", "--results", results, cwd=tmp_path),
        f"more than {files} files",
        "pack fewer machines",
    )
    monkeypatch.undo()
    with next(results.glob("*/records/*.jsonl")).open("ab") as file:
        file.write(9_000_000 * b"\x18\n")  # lines of killed writers
    assert_one_line(
        called("pack", "x.zip", "--results", results, cwd=tmp_path), "it unpacks to", "allowed"
    )
    assert not (tmp_path / "x.zip").exists()


def test_only_a_pack_is_overwritten(results: Path, tmp_path: Path) -> None:
    """Not a key whose name stands where the pack's should, nor what has no name at all."""
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----")
    for name, words in (
        ("key.pem", "key.pem exists and is no pack; give another name"),
        ("", ". is a folder"),
        ("/", "/ is a folder"),
    ):
        assert_one_line(bench("pack", name, "--results", results, cwd=tmp_path), words)
    assert (tmp_path / "key.pem").read_text() == "-----BEGIN PRIVATE KEY-----"
    (tmp_path / "mine.zip").touch()
    for _ in range(2):
        assert called("pack", "mine.zip", "--results", results, cwd=tmp_path).code == 0


def test_no_pack_is_written_that_verify_would_refuse(results: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no machine's folder"):
        pack(results.parent, tmp_path / "high.zip")
    [machine] = [path for path in results.iterdir() if path.is_dir()]
    record = next((machine / "records").glob("*.jsonl"))
    with record.open("ab") as file:
        file.write(b'{"torn')
    pack(results, tmp_path / "torn.zip")
    assert not verify(tmp_path / "torn.zip").problems
    machine.rename(results / "my machine")
    with pytest.raises(UsageError, match="is not a name that a run gives"):
        pack(results, tmp_path / "named.zip")
    assert not (tmp_path / "high.zip").exists()
    assert not (tmp_path / "named.zip").exists()
