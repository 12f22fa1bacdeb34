"""Packs are split into parts and unpacked; no file is overwritten, and none lands outside."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest

from bench.cli.app import main
from bench.errors import UsageError
from bench.exchange.pack import Checked, pack, read_pack, verify, write_pack
from bench.exchange.parts import Packed, pack_in_parts
from bench.exchange.unpack import unpack

from .bad_packs import honest, sealed, unchecked
from .conftest import MACHINE, probe_record
from .program import snapshot

JOURNAL, LOG = f"{MACHINE.name}/visit/steps.ndjson", f"{MACHINE.name}/visit/families.log"


@pytest.fixture
def packed(results: Path, tmp_path: Path) -> Path:
    target = tmp_path / "mine.zip"
    pack(results, target)
    return target


def in_parts(results: Path, target: Path, more: dict[str, bytes], **limits: int) -> Packed:
    return pack_in_parts(results, target, more, **{"largest": 1 << 20, "most": 8, **limits})


def contents(path: Path) -> dict[str, bytes]:
    return read_pack(path).contents


# Parts


def test_small_results_are_one_part_with_logs(results: Path, tmp_path: Path) -> None:
    found = in_parts(results, tmp_path / "visit.zip", {JOURNAL: b"{}\n", LOG: b"so far\n"})
    assert (found.paths, found.left_out) == ([tmp_path / "visit.zip"], [])
    checked = verify(found.paths[0])
    assert checked.problems == [] and checked.files == found.files == checked.records + 2


def test_large_results_are_several_packs_that_each_verify(results: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.zip"
    pack(results, whole)
    found = in_parts(results, tmp_path / "visit.zip", {}, largest=whole.stat().st_size // 3)
    assert found.paths[:2] == [tmp_path / "visit.zip", tmp_path / "visit.2.zip"]
    together: dict[str, bytes] = {}
    for path in found.paths:
        assert verify(path).problems == []
        assert path.stat().st_size <= whole.stat().st_size // 3
        assert not together.keys() & contents(path).keys()
        together |= contents(path)
    assert together == contents(whole)


def test_what_fits_in_no_part_is_named(results: Path, tmp_path: Path) -> None:
    log = os.urandom(60_000)
    found = in_parts(results, tmp_path / "visit.zip", {LOG: log}, largest=50_000)
    assert found.left_out == [LOG]
    few = in_parts(results, tmp_path / "few.zip", {}, largest=5_000, most=2)
    assert len(few.paths) == 2 and all(verify(path).problems == [] for path in few.paths)
    assert few.files + len(few.left_out) == found.files


def test_a_record_and_its_arrays_share_a_part(results: Path, tmp_path: Path) -> None:
    """Apart, neither would be accepted."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, random=np.random.default_rng(0).random(4000))
    with_arrays = honest(tmp_path / "other", buffer.getvalue())
    for name, content in with_arrays.items():
        (results / name).write_bytes(content)
    found = in_parts(results, tmp_path / "visit.zip", {}, largest=40_000)
    assert len(found.paths) > 1 and found.left_out == []
    assert all(verify(path).problems == [] for path in found.paths)
    [part] = [path for path in found.paths if with_arrays.keys() & contents(path).keys()]
    assert with_arrays.items() <= contents(part).items()


# Unpacking


def test_unpacked_are_the_bytes_that_were_packed(
    packed: Path, results: Path, tmp_path: Path
) -> None:
    found = unpack(packed, tmp_path / "home")
    assert len(found.written) == found.checked.files
    for name in found.written:
        assert (tmp_path / "home" / name).read_bytes() == (results / name).read_bytes()
    before = snapshot(tmp_path / "home")
    assert unpack(packed, tmp_path / "home").written == []
    assert snapshot(tmp_path / "home") == before


def test_what_differs_is_refused_by_name_and_nothing_is_written(
    packed: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    name = sorted(contents(packed))[3]
    (home / name).parent.mkdir(parents=True)
    (home / name).write_bytes(b"mine\n")
    before = snapshot(home)
    with pytest.raises(UsageError, match=rf"{name} exists with different content"):
        unpack(packed, home)
    assert snapshot(home) == before


def test_a_record_that_went_on_takes_the_place_of_its_beginning(
    packed: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    name = next(name for name in sorted(contents(packed)) if "speed" in name)
    lines = contents(packed)[name].splitlines(keepends=True)
    (home / name).parent.mkdir(parents=True)
    (home / name).write_bytes(b"".join(lines[:3]))
    assert unpack(packed, home).continued == [name]
    assert (home / name).read_bytes() == contents(packed)[name]
    longer = (home / name).read_bytes() + b"\n"
    (home / name).write_bytes(longer)  # and an older pack never shortens what is there
    assert unpack(packed, home).written == []
    assert (home / name).read_bytes() == longer


def test_links_that_lead_out_are_refused(packed: Path, tmp_path: Path) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    home.mkdir()
    outside.mkdir()
    (home / MACHINE.name).symlink_to(outside)
    with pytest.raises(UsageError, match="is a link"):
        unpack(packed, home)
    assert list(outside.iterdir()) == []


OUTSIDE = [
    f"{MACHINE.name}/visit/../../x.log",
    "/etc/visit/x.log",
    f"{MACHINE.name}/visit/x.sh",
    f"{MACHINE.name}/visit/.hidden.log",
    f"{MACHINE.name}/other/x.log",
    f"{MACHINE.name}/visit/sub/x.log",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_other_names_are_refused_unread(name: str, packed: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.zip").write_bytes(sealed({**contents(packed), name: b"x"}))
    with pytest.raises(UsageError, match="does not belong in it"):
        unpack(tmp_path / "bad.zip", tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_damage_is_refused_and_a_restless_machine_is_not(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = contents(packed)
    name = next(name for name in sorted(files) if "count" in name)
    damaged = {**files, name: files[name].replace(b'"values"', b'"valuee"', 1)}
    (tmp_path / "damaged.zip").write_bytes(sealed(damaged))
    with pytest.raises(UsageError, match="verify"):
        unpack(tmp_path / "damaged.zip", tmp_path / "home")
    other = tmp_path / "other" / MACHINE.name / "records"
    probe_record(other, [1.0, 9.0, 2.0, 8.0, 1.0, 9.0, 2.0, 8.0])
    unchecked(tmp_path / "other", tmp_path / "restless.zip")
    checked = verify(tmp_path / "restless.zip")
    assert checked.problems == checked.doubts != []
    home = str(tmp_path / "home")
    assert main(["unpack", str(tmp_path / "restless.zip"), "--results", home]) == 0
    told = capsys.readouterr()
    assert "the drift check varied by" in told.err and "1 file of" in told.out
    assert main(["verify", str(tmp_path / "restless.zip")]) == 1


def test_several_parts_are_unpacked_by_one_command(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = in_parts(results, tmp_path / "visit.zip", {LOG: b"so far\n"}, largest=20_000)
    home = tmp_path / "home"
    assert main(["unpack", *map(str, found.paths), "--results", str(home)]) == 0
    assert capsys.readouterr().out.count("written into") == len(found.paths) > 1
    assert (home / LOG).read_bytes() == b"so far\n"
    assert len(list(home.rglob("*.jsonl"))) == len(list(results.rglob("*.jsonl")))


def test_a_file_that_is_no_pack_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK")
    for arguments in ([str(tmp_path / "x.zip")], [str(tmp_path / "not_there.zip")], []):
        assert main(["unpack", *arguments]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_the_order_of_files_does_not_change_a_pack(packed: Path, tmp_path: Path) -> None:
    files = contents(packed)
    write_pack(tmp_path / "again.zip", dict(reversed(files.items())))
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()
    assert isinstance(verify(packed), Checked)
