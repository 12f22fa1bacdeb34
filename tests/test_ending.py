"""The program ends cleanly on an error, on Ctrl-C as a terminal sends it, and on a closed pipe.

Nothing of it is left then. Each case is a process with its own session: every program that it
starts is in that session, whatever its parent is.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from bench.cli.app import main
from bench.errors import UsageError
from bench.files import temporary
from bench.measure import interrupts
from bench.plugins import models
from bench.training import checkpoint
from bench.training.images.splits import Pictures
from bench.training.weights import read_real

from .pictures import Named
from .program import ROOT, called, environment, session, start

TRAINING = [
    "run",
    "--models",
    "convmixer_digits",
    "--metrics",
    "top1",
    "--data",
    "digits",
    "--device",
    "cpu",
    "--yes",
]
LONG = 120.0
"""Seconds until something that takes a few on a quiet machine."""


def until(condition: Callable[[], object], seconds: float = LONG) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    assert condition()


def finished(process: subprocess.Popen[str], limit: float = LONG) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error of a process that ends by itself.

    Waits until the processes that it started have ended, too.
    """
    try:
        out, err = process.communicate(timeout=limit)
        until(lambda: not session(process.pid), 10)
    finally:
        if left := session(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            pytest.fail(f"still there: {left}")
    assert "Traceback" not in out + err, err
    return process.returncode, out, err


# An error


def folders(root: Path, test: str) -> None:
    """Two classes to train on, and two to be tested on."""
    for place in (
        root / "train" / "a",
        root / "train" / "b",
        root / "val" / "a",
        root / "val" / test,
    ):
        place.mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (40, 40), (number, 0, 0)).save(place / f"{number}.png")


def other_architecture(folder: Path) -> tuple[list[str], str]:
    net = models.get("vit_digits").build(image_size=32, num_classes=10)
    checkpoint.save(folder / "vit.safetensors", net.state_dict(), {})
    return [
        "eval",
        "--checkpoint",
        "vit.safetensors",
        "--model",
        "convmixer_digits",
        "--data",
        "digits",
    ], "does not fit the model"


def too_large_a_batch(folder: Path) -> tuple[list[str], str]:
    return [*TRAINING, "--recipe", "digits:batch_size=100000"], "batch"


def full_disk(folder: Path) -> tuple[list[str], str]:
    return [*TRAINING, "--recipe", "digits:epochs=3"], "free some space"


def other_classes(folder: Path) -> tuple[list[str], str]:
    folders(folder / "d", "c")
    return [
        *TRAINING[:5],
        "--data",
        "folder:d",
        "--recipe",
        "digits",
    ], "differ in their classes: b only in train/, c only in val/"


def no_archive(folder: Path) -> tuple[list[str], str]:
    folders(folder / "d", "b")
    for path in (folder / "d" / "val").rglob("*"):
        path.is_file() and path.unlink()
    (folder / "d" / "val").rename(folder / "elsewhere")
    (folder / "d" / "val.tar").write_bytes(b"junk" * 1000)
    return [*TRAINING[:5], "--data", "folder:d", "--recipe", "digits"], "--data folder:d"


@pytest.mark.parametrize(
    "case",
    [
        other_architecture,
        pytest.param(too_large_a_batch, marks=pytest.mark.exhaustive),
        full_disk,
        pytest.param(other_classes, marks=pytest.mark.exhaustive),
        no_archive,
    ],
)
def test_the_error_line_is_the_end(
    case: Callable[[Path], tuple[list[str], str]], tmp_path: Path
) -> None:
    """One line, exit code 2 right after it, and no worker, image loader or server that lives on.

    The quick ones are of a worker that evaluates, of one that trains, and of one that reads images.
    """
    arguments, words = case(tmp_path)
    limit = "ulimit -f 200; " if case is full_disk else ""  # no file above 200 kB
    process = subprocess.Popen(
        ["bash", "-c", f'{limit}exec "$@"', "-", sys.executable, "-m", "bench", *arguments],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    code, _, more = finished(process, 20)  # it waited for ever; a quiet machine needs less than 2 s
    assert (code, more) == (2, ""), (line, more)
    assert line.startswith("bench: ") and words in line


# Ctrl-C


def test_ctrl_c_three_times_in_a_training_is_one_line(tmp_path: Path) -> None:
    """The whole group gets it: the worker, what it started, and their server too."""
    process = start(*TRAINING, "--recipe", "digits:epochs=5000", cwd=tmp_path)
    until(
        lambda: any(
            path.read_bytes().count(b'"event": "step"') > 5
            for path in tmp_path.glob("results/*/logs/*.jsonl")
        )
    )
    for _ in range(3):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.02)
    code, out, err = finished(process)
    assert (code, err) == (130, "")
    assert (
        out.count(
            "interrupted: 0 finished rounds and the last checkpoint of every training run are "
            "kept; rerun the same command to continue"
        )
        == 1
    )


def test_ctrl_c_while_workers_are_made_ready_is_one_line(tmp_path: Path) -> None:
    """Their server is in the middle of its imports."""
    process = start(*TRAINING, "--recipe", "digits", cwd=tmp_path)
    until(lambda: any("forkserver" in line for line in session(process.pid)))
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    assert finished(process) == (130, "", "bench: interrupted\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_during_the_imports_is_one_line(number: int, tmp_path: Path) -> None:
    """A slow import replaces the real one, and turns the interruption into an ImportError."""
    (tmp_path / "cyclopts.py").write_text(
        "import time\nopen('here', 'w').close()\n"
        "try:\n    time.sleep(100)\n"
        "except BaseException:\n    raise ImportError('broken') from None\n"
    )
    process = start("--help", cwd=tmp_path)
    until((tmp_path / "here").exists)
    os.killpg(process.pid, number)
    assert finished(process) == (130, "", "bench: interrupted\n")


def test_what_the_caller_ignores_stays_ignored(tmp_path: Path) -> None:
    """As under `nohup`, or beside others in a script."""
    (tmp_path / "cyclopts.py").write_text("import time\nopen('here', 'w').close()\ntime.sleep(1)\n")
    code = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    )
    command = [
        sys.executable,
        "-c",
        f"{code}os.execv(sys.executable, [sys.executable, '-m', 'bench', '--help'])",
    ]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until((tmp_path / "here").exists)
    for number in (signal.SIGHUP, signal.SIGINT):
        process.send_signal(number)
    _, err = process.communicate(timeout=LONG)
    assert (
        process.returncode == 1 and "ImportError" in err
    )  # of the module that stood in the way: it came to its end


def test_a_second_ctrl_c_does_not_break_off_what_the_first_began() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), interrupts.listening():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            done.append("closed")
    assert done == ["closed"]


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_ctrl_c_at_every_line_of_the_top_of_the_program_is_one_line(tmp_path: Path) -> None:
    """Twice in a row, from its first line to its exit."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.at_every_line", "2"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LONG,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    number = int(done.stdout.split()[0])
    assert number > 80 and done.stdout == f"{number} lines, 0 wrong\n"


class Destroyed:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def test_a_ctrl_c_that_python_ignores_comes_again(capfd: pytest.CaptureFixture[str]) -> None:
    """Without a word: it is raised in a destructor, where Python prints what it ignores."""
    with interrupts.listening(), pytest.raises(KeyboardInterrupt):
        one = Destroyed()
        del one
        time.sleep(20)
    assert "Traceback" not in capfd.readouterr().err


# Output


def test_other_encodings_and_closed_pipes(results: Path, tmp_path: Path) -> None:
    """One line of shell each; the mark of a footnote never looks like a digit."""

    def shell(command: str, **more: str) -> tuple[int, str, str]:
        bench = f"{sys.executable} -m bench"
        done = subprocess.run(
            ["bash", "-c", "set -o pipefail; " + command.replace("bench", bench, 1)],
            cwd=tmp_path,
            env=environment(**more),
            capture_output=True,
            text=True,
            timeout=LONG,
            errors="replace",
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr

    for env in (
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0"},
    ):
        code, out, err = shell(f"bench study verdict --results {results}", **env)
        assert (code, err) == (0, "")
        assert "no study is measured" in out
    code, out, err = shell(f"bench report --no-page --results {results}", PYTHONIOENCODING="ascii")
    assert (code, err) == (0, "")
    assert "+-" in out and "x vit_s16" in out and "[1]" in out
    assert shell("bench list models | head -1")[0::2] == (141, "")
    code, out, err = shell("bench list models >&-")
    assert (code, err) == (0, "")
    if Path("/dev/full").exists():
        code, out, err = shell("bench list models > /dev/full")
        assert (code, err.count("\n")) == (2, 1)
        assert "standard output" in err and "No space left" in err


# Version


def test_the_version_is_that_of_the_project(tmp_path: Path) -> None:
    """From a checkout that is not installed, too."""
    project = (
        (ROOT / "pyproject.toml")
        .read_text(encoding="utf-8")
        .partition('\nversion = "')[2]
        .partition('"')[0]
    )
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.metadata as metadata\nfound = metadata.version\n"
        "def version(name):\n    if name == 'convmixer-bench':\n"
        "        raise metadata.PackageNotFoundError(name)\n    return found(name)\n"
        "metadata.version = version\n"
    )
    for path in (str(ROOT), f"{tmp_path}{os.pathsep}{ROOT}"):
        done = subprocess.run(
            [sys.executable, "-m", "bench", "--version"],
            env=environment(PYTHONPATH=path),
            capture_output=True,
            text=True,
            timeout=LONG,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(
            f"convmixer-bench {project}, torch {torch.__version__.partition('+')[0]}"
        )
        assert "timm" in done.stdout and done.stdout.count("\n") == 1


# Temporary files


def test_a_killed_run_goes_on_with_every_round_intact_and_its_temporary_files_are_removed(
    tmp_path: Path,
) -> None:
    """Those of a program that still runs stay, and so does what a link leads to."""
    (tmp_path / "victim").mkdir()
    with tempfile.TemporaryDirectory(dir="/tmp") as place:  # sockets have short names only
        (Path(place) / f"{temporary.PREFIX}link").symlink_to(tmp_path / "victim")

        def next_one() -> None:
            code = "from bench.files import temporary; temporary.folder()"
            subprocess.run(
                [sys.executable, "-c", code],
                env=environment(TMPDIR=place),
                check=True,
                timeout=LONG,
            )

        def left() -> list[Path]:
            return [
                path
                for path in Path(place).iterdir()
                if not path.name.endswith("link") and any(path.iterdir())
            ]

        arguments = [
            "run",
            "--models",
            "convmixer_digits,vit_digits",
            "--metrics",
            "latency",
            "--device",
            "cpu",
            "--rounds",
        ]
        run = start(*arguments, "100000", cwd=tmp_path, env={"TMPDIR": place})
        until(
            lambda: any(
                b'"round":3,' in path.read_bytes()
                for path in tmp_path.glob("results/*/records/*_digits.*.jsonl")
            )
        )
        next_one()
        assert len(left()) == 1
        os.killpg(run.pid, signal.SIGKILL)
        finished(run)
        next_one()
        assert left() == []
        assert (tmp_path / "victim").exists()
    before = {path: path.read_bytes() for path in tmp_path.glob("results/*/records/*.jsonl")}
    wanted = max(map(rounds, before.values())) + 2
    resumed = called(*arguments, str(wanted), cwd=tmp_path)
    assert resumed.code == 0, resumed
    for path, content in before.items():
        assert path.read_bytes().startswith(content[: content.rfind(b"\n") + 1])
        if path.name.startswith("convmixer_digits"):
            assert rounds(path.read_bytes()) == wanted
        # The reference: killed between two arms of a round, it comes along once more.
        if path.name.startswith("vit_digits"):
            assert rounds(path.read_bytes()) in (wanted, wanted + 1)


def rounds(record: bytes) -> int:
    return sum(b'"type":"round"' in line for line in record.splitlines())


# What was typed is not there, or is something else


COMMANDS = [
    ["report", "--no-page", "--results", "{}"],
    ["study", "verdict", "--results", "{}"],
    ["claim", "a > b", "--on", "top1", "--results", "{}"],
    ["export", "out", "--results", "{}"],
    ["pack", "out.zip", "--results", "{}"],
    ["eval", "--compare", "a", "b", "--results", "{}"],
    ["compare", "{}", "{}"],
    ["verify", "{}"],
    ["import", "{}"],
    ["run", "--suite", "{}.toml"],
    ["eval", "--checkpoint", "{}", "--model", "vit_digits", "--data", "digits"],
    ["eval", "--checkpoint", "{}.safetensors", "--model", "vit_digits", "--data", "digits"],
    ["describe", "./{}.py:build"],
    ["match", "--reference", "./{}.py:build"],
    [
        "run",
        "--models",
        "vit_digits",
        "--metrics",
        "top1",
        "--recipe",
        "digits",
        "--data",
        "folder:{}",
    ],
    [
        "run",
        "--models",
        "vit_digits",
        "--metrics",
        "top1",
        "--recipe",
        "digits",
        "--data",
        "imagenet:{}",
    ],
    [
        "run",
        "--models",
        "vit_digits",
        "--metrics",
        "top1",
        "--recipe",
        "digits",
        "--data",
        "wds:{}",
    ],
]
ENDINGS = ("", ".toml", ".safetensors", ".py")


@pytest.mark.parametrize("kind", ["missing", "empty file", "empty folder", "pipe", "/dev/zero"])
def test_every_command_says_in_a_line_what_it_did_not_find(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """None waits for a pipe's other end, reads a device for ever or ends in a traceback."""
    monkeypatch.chdir(tmp_path)
    make = {
        "empty file": Path.touch,
        "empty folder": Path.mkdir,
        "pipe": os.mkfifo,
        "/dev/zero": lambda path: path.symlink_to("/dev/zero"),
    }
    for ending in ENDINGS if kind != "missing" else ():
        make[kind](Path(f"given{ending}"))
    before = sorted(tmp_path.rglob("*"))

    def hangs(*_: object) -> None:
        raise AssertionError(f"hangs: {arguments}")

    signal.signal(signal.SIGALRM, hangs)
    try:
        for command in COMMANDS:
            arguments = [part.format("given") for part in command]
            signal.alarm(60)
            code = main(arguments)
            err = capsys.readouterr().err
            assert (code, err.count("\n")) == (2, 1), (arguments, err)
            assert err.startswith("bench: "), (arguments, err)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    left = {
        path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*") if path not in before
    }
    assert left <= {"results"}


def test_labels_from_a_pipe_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "real.json")
    part = Pictures(Named("val_1.JPEG"), torch.zeros(1), torch.zeros(1))
    with pytest.raises(UsageError, match=r"real\.json is a pipe"):
        read_real(f"real:{tmp_path}/real.json", part)


# A cluster that does not answer


def test_an_address_without_a_cluster_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Either nothing listens at the address, or something that does not answer.

    Ray waits for more than two minutes for both, and ignores Ctrl-C meanwhile.
    """
    pytest.importorskip("ray")
    from bench.launchers import ray

    monkeypatch.setattr(ray, "ANSWER_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]
        with pytest.raises(
            UsageError,
            match=rf"no Ray cluster at 127\.0\.0\.1:{port}: something listens there, but did not "
            r"answer",
        ):
            ray.reach(f"127.0.0.1:{port}")
    with pytest.raises(UsageError, match=r"no Ray cluster at .*refused"):
        ray.reach(f"127.0.0.1:{port}")
