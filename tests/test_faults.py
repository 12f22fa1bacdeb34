"""Each fault is injected here, and the next run has to continue as if there had been none."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from bench.cli.app import main
from bench.files import files
from bench.measure.messages import Failure, Job, Window
from bench.measure.processes import descendants
from bench.measure.worker import Workers
from bench.record import store
from bench.record.arms import SpeedArm
from bench.record.schema import About, EndLine
from bench.record.store import DamagedRecord
from bench.training import checkpoint

from .conftest import speed_record

ARM = SpeedArm(
    model="vit_s16", image_size=224, num_classes=1000, policy="fp32", device="cpu", batch_size=4
)
COUNTS = [
    "run",
    "--models",
    "convmixer_digits,vit_digits",
    "--metrics",
    "params,macs",
    "--device",
    "cpu",
]
END = EndLine(run="r1", status="ok", metrics=["throughput"])


# A flipped bit


def test_any_flipped_bit_of_a_record_is_noticed(tmp_path: Path) -> None:
    """A flip of any bit of any line is named.

    A flip may also tear the last line, which is left out with a note.
    """
    path = speed_record(tmp_path, "vit_s16", [1.0, 2.0])
    whole, clean = path.read_bytes(), store.load(path)
    draw = random.Random(0)
    for _ in range(600):
        at, bit = draw.randrange(len(whole)), 1 << draw.randrange(8)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
        try:
            found = store.load(path)
        except DamagedRecord as error:
            assert str(path) in str(error)
            continue
        assert found.torn and at == len(whole) - 1
        assert found.rounds == clean.rounds


def test_any_flipped_bit_of_a_checkpoint_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    tensors = {
        "weight": torch.arange(50.0),
        "norm": torch.ones(3, dtype=torch.bfloat16),
        "steps": torch.tensor(7),
    }
    checkpoint.save(path, tensors, {"step": 7})
    assert all(
        torch.equal(tensor, tensors[name]) for name, tensor in checkpoint.load(path)[0].items()
    )
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    for at in range(start, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(ValueError, match="checksum does not match"):
            checkpoint.load(path)
    for length in (0, 4, start - 1, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="not a complete safetensors file"):
            checkpoint.load(path)


# Cut short, and several writers


def test_a_torn_line_is_voided_and_never_cut_off(tmp_path: Path) -> None:
    path = speed_record(tmp_path, "vit_s16", [1.0, 2.0])
    torn = path.read_bytes()[:-40]
    path.write_bytes(torn)
    store.create(tmp_path, ARM, {"protocol": 1}, About(family="vit"))
    store.append(path, END)
    assert path.read_bytes().startswith(torn)
    assert [end.run for end in store.load(path).ends] == ["r1"]


def test_every_line_is_on_disk_before_the_next_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[int] = []
    monkeypatch.setattr(os, "fsync", waited.append)
    speed_record(tmp_path, "vit_s16", [1.0, 2.0])
    assert len(waited) == 5  # head, run, two rounds and end


def test_many_writers_of_one_record_lose_nothing(tmp_path: Path) -> None:
    """Eight programs make the same record at the same time and append to it."""
    code = (
        "import sys; from pathlib import Path; from bench.record import store as record\n"
        "from bench.record.schema import *\nfrom bench.record.arms import *\n"
        "machine = Machine(name='m', device='cpu', cpu='', cores=2, memory_bytes=1, versions={}, "
        "settings={})\n"
        "arm = SpeedArm(model='vit_s16', image_size=224, num_classes=1000, policy='fp32', "
        "device='cpu', batch_size=4)\n"
        "sys.stdin.read()\n"
        "path = record.create(Path(sys.argv[1]), arm, {'protocol': 1}, About(family='vit'))\n"
        "run = sys.argv[2]\n"
        "record.append(path, RunLine(run=run, started='2026-01-01', version='0', commit=None, "
        "seed=0, machine=machine))\n"
        "for number in range(1, 41):\n"
        "    sample = Sample(metric='throughput', unit='image/s', better='higher', "
        "values=[float(number)] * 200)\n"
        "    record.append(path, RoundLine(run=run, round=number, samples=[sample]))\n"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), f"r{number}"], stdin=subprocess.PIPE
        )
        for number in range(8)
    ]
    for writer in writers:  # all wait for this
        assert writer.stdin is not None
        writer.stdin.close()
    assert [writer.wait(60) for writer in writers] == [0] * 8
    [path] = tmp_path.glob("*.jsonl")
    found = store.load(path)
    assert len(found.runs) == 8
    assert len(found.rounds) == 320
    assert not list(tmp_path.glob(".*"))


def test_the_first_of_several_names_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "name"
    contents = [f"{number}".encode() for number in range(16)]
    found: list[bool] = []
    threads = [
        threading.Thread(target=lambda content=content: found.append(files.create(path, content)))
        for content in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(found) == 1
    assert path.read_bytes() in contents


# No room


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A file system of two megabytes."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True
    )
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_one_line_and_the_run_goes_on_once_there_is_room(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*COUNTS[:2], "convmixer_digits", *COUNTS[3:], "--results", str(small_disk)]) == 0
    [first] = small_disk.glob("*/records/convmixer_digits.*.jsonl")
    before = first.read_bytes()
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space"):
        while True:
            with ballast.open("ab", buffering=0) as file:
                file.write(b"x" * 4096)
    capsys.readouterr()
    assert main([*COUNTS, "--results", str(small_disk)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "No space left on device" in error and "free some space" in error
    assert first.read_bytes() == before
    ballast.unlink()
    assert main([*COUNTS, "--results", str(small_disk)]) == 0
    assert first.read_bytes() == before
    [second] = small_disk.glob("*/records/vit_digits.*.jsonl")
    assert store.load(second).ends[-1].status == "ok"


def test_a_checkpoint_that_does_not_fit_is_one_line(small_disk: Path) -> None:
    path = small_disk / "weights.safetensors"
    checkpoint.save(path, {"weight": torch.zeros(1000)}, {})
    with pytest.raises(files.Unwritable, match="free some space"):
        checkpoint.save(path, {"weight": torch.zeros(10**6)}, {})
    assert len(checkpoint.load(path)[0]["weight"]) == 1000
    assert [one.name for one in small_disk.iterdir()] == ["weights.safetensors"]


def test_a_disk_that_fills_in_the_middle_of_a_line(small_disk: Path) -> None:
    path = speed_record(small_disk, "vit_s16", [1.0, 2.0])
    fill = small_disk / "ballast"
    fill.write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 4096))
    long = EndLine(run="r1", status="failed", metrics=["throughput"], error="e" * 10_000)
    with pytest.raises(files.Unwritable, match="No space left"):
        store.append(path, long)
    assert len(store.load(path).rounds) == 2
    fill.unlink()
    store.create(small_disk, ARM, {"protocol": 1}, About(family="vit"))
    store.append(path, long)
    assert [len(end.error or "") for end in store.load(path).ends] == [0, 10_000]


def test_no_room_in_a_worker_ends_the_run_and_is_no_verdict_on_the_arm() -> None:
    from bench.measure.serve import failure_of

    failure = failure_of(OSError(errno.ENOSPC, "No space left on device"))
    assert failure.usage and "free some space" in failure.error


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_results_that_may_not_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o500)
    assert main([*COUNTS, "--results", str(tmp_path / "results")]) == 2
    assert "cannot be written to" in capsys.readouterr().err


def test_a_read_only_file_system(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "read-only"
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(place)], capture_output=True
    ).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        assert main([*COUNTS, "--results", str(place)]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


# Processes


SLEEPER = """
import subprocess, sys, time
def build(*, image_size, num_classes):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    time.sleep(600)
"""


def test_a_worker_ends_with_the_program_that_wanted_it(tmp_path: Path) -> None:
    """SIGKILL to the program alone: nothing of it is left after a moment."""
    (tmp_path / "slow.py").write_text(SLEEPER)
    what = [
        "run",
        "--models",
        f"{tmp_path}/slow.py:build",
        "--metrics",
        "throughput",
        "--device",
        "cpu",
        "--results",
        str(tmp_path / "r"),
    ]
    run = subprocess.Popen(
        [sys.executable, "-m", "bench", *what], start_new_session=True, stdout=subprocess.DEVNULL
    )
    until = time.monotonic() + 90
    while (
        len(below := descendants(run.pid)) < 4 and time.monotonic() < until
    ):  # tracker, server, worker, its child
        time.sleep(0.1)
    assert len(below) >= 4
    run.kill()
    run.wait()
    until = time.monotonic() + 10
    while (left := [pid for pid in below if _alive(pid)]) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_hung_worker_is_a_failure_and_its_children_end_with_it(tmp_path: Path) -> None:
    """As a reader of images that hangs: the worker has a child, and neither answers."""
    (tmp_path / "slow.py").write_text(SLEEPER)
    arm = SpeedArm(
        model=f"{tmp_path}/slow.py:build",
        image_size=32,
        num_classes=10,
        policy="fp32",
        device="cpu",
        batch_size=1,
    )
    with Workers() as workers:
        worker = workers.open(Job(arm, "cpu", 0, 1, timeout=10.0))
        with pytest.raises(Failure, match="no answer within 10 s"):
            worker.ready()
        below = descendants(worker.pid)
        assert below
    until = time.monotonic() + 10
    while any(_alive(pid) for pid in below) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [pid for pid in below if _alive(pid)]


def test_a_worker_that_is_killed_is_said_to_be(tmp_path: Path) -> None:
    arm = SpeedArm(
        model="vit_digits", image_size=8, num_classes=10, policy="fp32", device="cpu", batch_size=1
    )
    with Workers() as workers:
        worker = workers.open(Job(arm, "cpu", 0, 1))
        worker.ready()
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(Failure, match="SIGKILL"):
            worker.take(Window("throughput", 0.1), lambda text: None)


def test_sigterm_keeps_what_was_measured(tmp_path: Path) -> None:
    """A scheduler's end of time: one line, exit code 130, and the same command goes on."""
    what = [
        "run",
        "--models",
        "vit_digits,mixer_digits",
        "--metrics",
        "throughput",
        "--device",
        "cpu",
        "--results",
        str(tmp_path),
    ]
    command = [sys.executable, "-m", "bench", *what, "--rounds", "2000"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while not _rounds(tmp_path) and time.monotonic() < until:
        time.sleep(0.1)
    run.send_signal(signal.SIGTERM)
    out, _ = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "finished round" in out
    had = _rounds(tmp_path)
    assert main([*what, "--rounds", str(had + 2)]) == 0
    assert _rounds(tmp_path) == had + 2


def _rounds(results: Path) -> int:
    """Those that both models have: the signal may come between the lines of the two."""
    paths = list(results.glob("*/records/*_digits.speed.*.jsonl"))
    return min(len(store.load(path).rounds) for path in paths) if len(paths) == 2 else 0


# Time


def test_nothing_measured_hangs_on_the_time_of_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock jumps back by a year between two runs.

    Records keep their order, and the second run finds the first.
    """
    assert main([*COUNTS, "--results", str(tmp_path)]) == 0
    import datetime as module

    real = module.datetime

    class Earlier(real):
        @classmethod
        def now(cls, tz: object = None) -> module.datetime:  # type: ignore[override]
            return real.now(tz) - module.timedelta(days=365)  # type: ignore[arg-type]

    monkeypatch.setattr("bench.run.context.datetime", Earlier)
    monkeypatch.setattr(time, "time", lambda: 1.0)
    before = {path: path.read_bytes() for path in tmp_path.glob("*/records/*.jsonl")}
    assert main([*COUNTS, "--results", str(tmp_path)]) == 0
    assert {path: path.read_bytes() for path in tmp_path.glob("*/records/*.jsonl")} == before
    assert main([*COUNTS, "--force", "--results", str(tmp_path)]) == 0
    for path in before:
        found = store.load(path)
        assert found.runs[0].started > found.runs[1].started
        assert [run.run for run in found.latest().runs] == [found.runs[1].run]
