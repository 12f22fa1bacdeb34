"""Where the program is started: encodings, folders, limits of the system, closed streams.

It works, or one line says what to change.
"""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.files import foreign_errors, system_limits, temporary
from bench.measure.memory import is_out_of_memory
from bench.measure.serve import failure_of

from .program import Ended, assert_one_line, environment

RUN = "run --models convmixer_digits --metrics params --device cpu"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")


def shell(first: str, command: str, cwd: Path, **env: str) -> Ended:
    """Run a command of the program after others of bash; its streams may be redirected."""
    done = subprocess.run(
        ["bash", "-c", f"{first}\nexec {sys.executable} -m bench {command}"],
        cwd=cwd,
        env=environment(**env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=240,
    )
    return Ended(done.returncode, done.stdout, done.stderr, 0.0)


@LINUX
def test_a_run_in_poor_surroundings_works(tmp_path: Path) -> None:
    """No UTF-8, a path for temporary files that is too long for sockets, few files, no output."""
    long = tmp_path / ("x" * 100)
    long.mkdir()
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TMPDIR": str(long)}
    before = set(Path("/tmp").glob(f"{temporary.PREFIX}*"))
    ended = shell(f"ulimit -n {system_limits.LEAST_FILES}", f"{RUN} >&-", tmp_path, **env)
    assert (ended.code, ended.err) == (0, ""), ended
    assert list(tmp_path.glob("results/*/records/*.jsonl"))
    assert not list(long.glob(f"{temporary.PREFIX}*")) and not list(long.glob("pymp-*"))
    more = set(Path("/tmp").glob(f"{temporary.PREFIX}*")) - before
    assert all(temporary._lock(path) is None for path in more), "left behind"


@LINUX
def test_a_soft_limit_on_open_files_is_raised(tmp_path: Path) -> None:
    code = (
        "import resource\nfrom bench.files import system_limits\nsystem_limits.prepare()\n"
        "print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run(
        ["bash", "-c", 'ulimit -Sn 16; ulimit -Hn 200; exec "$@"', "-", sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "200 200\n"


@LINUX
@pytest.mark.parametrize(
    ("first", "command", "words"),
    [
        ("mkdir gone; cd gone; rmdir ../gone", "list recipes", ("working folder", "cd")),
        ("ulimit -n 16", RUN, ("ulimit -n allows 16", "raise it: ulimit -n")),
        ("ulimit -v 1000000", RUN, ("torch", "ulimit -v of 1.0 GB", "unlimited")),
        ("ulimit -v 2000000", "list models", ("torch", "ulimit -v of 2.0 GB", "unlimited")),
    ],
)
def test_what_is_too_little_is_one_line(
    first: str, command: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    assert_one_line(shell(first, command, tmp_path), *words)
    assert not list(tmp_path.iterdir())


@LINUX
def test_a_report_needs_little_memory_and_few_files(results: Path, tmp_path: Path) -> None:
    """Its figures need more than 16 files; with that, no record counts as damaged."""
    ended = shell("ulimit -n 16", f"report --no-page --results {results}", tmp_path)
    assert_one_line(ended, "too many open files: ulimit -n allows 16", "raise it: ulimit -n")
    ended = shell("ulimit -v 1000000", f"study verdict --results {results}", tmp_path)
    assert (ended.code, ended.err) == (0, ""), ended


def test_errors_of_limits_say_what_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever they occur: they are no fault of the file that was just being read."""
    for number, word in (
        (errno.EMFILE, "ulimit -n"),
        (errno.ENFILE, "close other programs"),
        (errno.EAGAIN, "ulimit -u"),
        (errno.ENOMEM, "free some memory"),
    ):
        error = OSError(number, os.strerror(number))
        assert word in str(system_limits.in_words(error))
    assert "free some memory" in str(system_limits.in_words(MemoryError()))
    assert system_limits.in_words(ValueError()) is None
    assert system_limits.in_words(FileNotFoundError(errno.ENOENT, "x", "file")) is None

    few = OSError(errno.EMFILE, "Too many open files", "file")
    with pytest.raises(OSError, match="Too many"), foreign_errors.refusing(UsageError):
        raise few
    assert failure_of(few).usage
    assert is_out_of_memory(OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)))
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (2 << 30, 2 << 30))
    assert "ulimit -v of 2.1 GB" in str(system_limits.in_words(MemoryError()))


def test_no_place_for_temporary_files_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/x']")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    with pytest.raises(UsageError, match="set TMPDIR"):
        temporary.folder.__wrapped__()


def test_no_short_place_for_sockets_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary, "folder", lambda: tmp_path / ("x" * 100) / "mine")
    monkeypatch.setattr(temporary, "SHORT", ("/proc", str(tmp_path / "none")))
    with pytest.raises(UsageError, match="set TMPDIR to a shorter one"):
        temporary.folder_of_sockets.__wrapped__()
