"""A sample of `tests.by_hand.every_fault`, what it found, and mistakes planted for it to find."""

from __future__ import annotations

import errno
import multiprocessing
import multiprocessing.queues
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.cli.app import main
from bench.datasets import _image_cache, _pictures
from bench.errors import UsageError
from bench.files import files
from bench.measure import cpu_placement, machine, serve
from bench.measure.messages import Failure
from bench.measure.worker import ProcessWorker
from bench.report import figures
from bench.training.evaluate import EvaluationImages
from bench.training.images.batches import TrainingImages
from bench.training.images.splits import Pictures

from .faults import shim
from .program import ROOT, bench, environment

BUILT = pytest.mark.skipif(not shim.can_be_built(), reason="needs Linux and a C compiler")


def walked(*arguments: str) -> tuple[int, str]:
    """Walk over faults; return the exit code and what was printed."""
    command = [sys.executable, "-m", "tests.by_hand.every_fault", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300
    )
    return done.returncode, done.stdout + done.stderr


@BUILT
def test_a_sample_of_faults_breaks_nothing() -> None:
    code, said = walked("--cases", "pack,unpack", "--every", "41")
    assert code == 0, said
    calls, faults = (int(part.split()[0]) for part in said.splitlines()[-1].split(", ")[:2])
    assert calls > 150 and faults > 20, said


@BUILT
@pytest.mark.parametrize(
    ("plant", "kinds", "calls", "words"),
    [
        ("half files", "kill,short write", "write,fsync", "half a file: mine.zip"),
        ("left behind", "EIO", "write,fsync", "left .mine.zip."),
    ],
)
def test_a_planted_mistake_is_found(plant: str, kinds: str, calls: str, words: str) -> None:
    code, said = walked("--cases", "pack", "--plant", plant, "--kinds", kinds, "--calls", calls)
    assert code == 1 and words in said, said


# What the walk has found


def broken(number: int = errno.EIO) -> Any:
    """A function that fails as a read of an open file does: the error has no file name."""

    def fail(*_: object, **__: object) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.skipif(sys.platform != "linux", reason="a file that cannot be read, as Linux has it")
def test_a_failed_read_has_the_name_of_the_file() -> None:
    path = Path("/proc/self/mem")  # a regular file whose first byte is not mapped
    with pytest.raises(OSError, match="Input/output error") as caught:
        files.read(path)
    assert caught.value.filename == str(path)


def test_a_failed_append_has_the_name_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    path.touch()
    monkeypatch.setattr(os, "fsync", broken())
    with pytest.raises(OSError, match=r"a\.jsonl"):
        files.append(path, b"{}\n")
    with pytest.raises(OSError, match=r"b\.jsonl"):
        files.write_whole(tmp_path / "b.jsonl", b"{}\n")
    with pytest.raises(OSError, match=r"c\.jsonl"):
        files.create(tmp_path / "c.jsonl", b"{}\n")
    assert [one.name for one in tmp_path.iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EPIPE + 1000])
def test_an_error_without_a_name_is_one_line(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bench.cli.app.app", broken(number))
    assert main(["list", "models"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and os.strerror(number) in said and "rerun" in said


def test_whatever_is_written_whole_removes_what_a_killed_program_left(tmp_path: Path) -> None:
    old, young, other = (
        tmp_path / f".{name}.tmp"
        for name in ("mine.zip.0123456789ab", "mine.zip.ba9876543210", "a.zip.0123456789ab")
    )
    for path in (old, young, other):
        path.write_bytes(b"half")
    long_ago = time.time() - files.LEFT_BEHIND - 60
    for path in (old, other):
        os.utime(path, (long_ago, long_ago))
    files.write_whole(tmp_path / "mine.zip", b"whole")
    assert sorted(tmp_path.iterdir()) == sorted([young, other, tmp_path / "mine.zip"])


class Refused:
    """A source of images whose reads fail with an error number."""

    def __init__(self, number: int) -> None:
        self.number = number

    def read(self, at: int) -> Any:
        raise OSError(self.number, os.strerror(self.number), f"{at}.png")

    def name(self, at: int) -> str:
        return f"{at}.png"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO])
def test_an_image_is_not_damaged_because_the_system_is_short_of_something(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would count as unreadable, in this run's top-1 and in the cache of decoded images."""
    pictures = Pictures(Refused(number), torch.arange(3), torch.zeros(3, dtype=torch.int64))
    view = type("View", (), {"transform": staticmethod(lambda picture: picture), "size": 8})()
    with pytest.raises(OSError, match=r"0\.png"):
        EvaluationImages(pictures, view)[0]
    with pytest.raises(OSError, match=r"\.png"):
        TrainingImages(pictures, lambda picture: picture, 0)[(0, 0)]
    with pytest.raises(OSError, match=r"0\.png"):
        pictures.shown(view)
    with pytest.raises(OSError, match=r"0\.png"):
        _pictures._one_by_one(pictures, 8)
    monkeypatch.setattr(Path, "read_bytes", broken(number))
    source = type("Source", (), {"root": str(tmp_path), "paths": ["a.png"]})()
    with pytest.raises(OSError, match="Errno"):
        _image_cache._decoded(source, 1, 8)


@pytest.mark.skipif(sys.platform != "linux", reason="priorities as Linux has them")
def test_no_further_process_is_no_property_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether priority can be had is part of a machine's fingerprint; the commit, of a record."""
    monkeypatch.setattr("subprocess.Popen", broken(errno.EAGAIN))
    with pytest.raises(OSError, match="Errno"):
        cpu_placement._tried_share(0)
    with pytest.raises(OSError, match="Errno"):
        machine.commit()


AT_SERVER = "if 'forkserver' in sys.orig_argv[-1]:\n    "
BROKEN_STARTS = {
    "sendmsg": "from multiprocessing import reduction; reduction.sendfds = refuse",
    "recvmsg": f"{AT_SERVER}from multiprocessing import reduction; reduction.recvfds = refuse",
    "fork": f"{AT_SERVER}import os; os.fork = refuse",
    "read": f"{AT_SERVER}from multiprocessing import spawn; spawn._main = refuse_later",
}
"""Where the start of a worker fails: in the program, in the server, and in the new process."""


@pytest.mark.parametrize("call", BROKEN_STARTS)
def test_a_worker_that_cannot_be_started_is_one_line(call: str, tmp_path: Path) -> None:
    """The server of multiprocessing would print tracebacks of its own."""
    (tmp_path / "sitecustomize.py").write_text(
        "import errno, os, sys\n"
        "def refuse(*_): raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))\n"
        "def refuse_later(*_): import time; time.sleep(1); refuse()\n"
        f"{BROKEN_STARTS[call]}\n"
    )
    ended = bench(
        *("run", "--models", "convmixer_8_1_k3_p4", "--metrics", "params", "--device", "cpu"),
        cwd=tmp_path,
        env={"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
    )
    if call == "read":  # the worker has ended, and that is how its model ended
        assert (ended.code, ended.err) == (1, ""), ended
        assert "the worker died with exit code 1" in ended.out, ended
        return
    assert ended.code == 2, ended
    assert ended.err.startswith("bench: ") and ended.err.count("\n") == 1, ended
    assert "finished results are kept" in ended.err, ended


@pytest.mark.parametrize("sent", [b"", b"\0\0", b"\0\0\0\x09half"])
def test_a_worker_that_dies_while_it_answers_ends_its_own_arm_only(sent: bytes) -> None:
    """A closed pipe in the command itself would pass for a closed terminal, and end all arms."""
    job: Any = SimpleNamespace(arm=SimpleNamespace(reads_images=False, model="m"), timeout=60)
    worker = ProcessWorker(job, multiprocessing.get_context("forkserver"))
    worker._process = SimpleNamespace(join=lambda seconds: None, exitcode=-9)  # type: ignore
    os.write(worker._theirs.fileno(), sent)
    worker._theirs.close()
    worker.prepare()
    with pytest.raises(Failure, match="died with exit code -9"):
        worker.ready()


@pytest.mark.skipif(sys.platform != "linux", reason="figures are drawn in forks there only")
@pytest.mark.parametrize("way", ["killed", "pipe"])
def test_a_drawing_process_that_ends_is_one_line(
    way: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The pool's own error is none that a command expects, and its process prints a traceback."""
    job: Any = SimpleNamespace(draw=lambda entry: os.kill(os.getpid(), signal.SIGKILL))
    if way == "pipe":
        monkeypatch.setattr(multiprocessing.queues.Queue, "get", broken())
    with pytest.raises(UsageError, match="a process that draws figures ended"):
        figures._spread([(job, None)] * 2, 2)  # type: ignore[list-item]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("call", ["recv", "send"])
def test_a_worker_whose_pipe_fails_ends_without_a_traceback(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runner reports the end of the worker in its own words."""
    pipe: Any = SimpleNamespace(recv=lambda: None, send=lambda answer: None)
    setattr(pipe, call, broken())
    monkeypatch.setattr(serve, "_open", broken())
    monkeypatch.setattr(serve, "_end_with_parent", lambda: None)
    job: Any = SimpleNamespace(arm=SimpleNamespace(model="m", policy="fp32"))
    with pytest.raises(SystemExit) as caught:
        serve.serve(pipe, job)
    assert caught.value.code == 1


@pytest.mark.parametrize("module", ["bench.cli.terminal", "bench.files.system_limits"])
def test_no_memory_before_the_command_is_one_line(module: str, tmp_path: Path) -> None:
    """In what the program does before its first command's line, which catches its own."""
    code = (
        f"import {module} as module, bench.__main__ as program\n"
        "def prepare(): raise MemoryError\n"
        "module.prepare = prepare\nprogram.script()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("bench: no memory is left") and done.stderr.count("\n") == 1
