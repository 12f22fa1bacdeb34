"""Start the program as a user does: `python -m bench` in its own process, folder and time limit.

    ended = bench("run", "--models", "./net.py:build", "--metrics", "params", cwd=tmp_path)
    assert ended.code == 0, ended

Importing torch twice makes a start of `run` about five seconds: one start can show several things.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Ended:
    """How a start of the program ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def text(self) -> str:
        """All that a user sees."""
        return self.out + self.err


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment, with the tested checkout first on PYTHONPATH.

    What pytest's workers set for themselves is left out: a user has none of it.
    """
    own = {
        name: value
        for name, value in os.environ.items()
        if name not in ("OMP_NUM_THREADS", "TRITON_INTERPRET")
    }
    own = {name: value for name, value in own.items() if not name.startswith("PYTEST")}
    return {**own, "PYTHONPATH": str(ROOT), **more}


def bench(
    *arguments: str | Path, cwd: Path, limit: float = 120, env: Mapping[str, str] | None = None
) -> Ended:
    """Run one command to its end.

    Raises subprocess.TimeoutExpired, which fails the test, after `limit` seconds.
    """
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "bench", *map(str, arguments)],
        cwd=cwd,
        env=environment(**(env or {})),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=limit,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Change the working directory for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def called(*arguments: str | Path, cwd: Path) -> Ended:
    """One command in this process, which has imported everything already.

    For further cases of something that a start in a process of its own has shown.
    """
    from bench.cli.app import main

    began = time.monotonic()
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with inside(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    shown = []
    for stream in (out, err):
        stream.flush()
        shown.append(stream.buffer.getvalue().decode("utf-8"))
    return Ended(code, *shown, time.monotonic() - began)


def start(
    *arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a command in the background, as the leader of a process group, as a terminal does."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *map(str, arguments)],
        cwd=cwd,
        env=environment(**(env or {})),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def session(pid: int) -> list[str]:
    """The processes of a session that are still there, by their command lines."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, owner = (path / "stat").read_text().rpartition(")")[2].split()[:4]
            command = (path / "cmdline").read_text().replace("\0", " ").strip()
        except OSError:
            continue
        if (
            int(owner) == pid and state not in "ZX" and command
        ):  # one without a command is on its way out
            found.append(f"{path.name} {command[:100]}")
    return found


def snapshot(folder: Path) -> dict[str, str]:
    """Return every path below a folder with a digest of its content.

    For a link it is that of the link's target path, not of the file behind it.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"link to {os.readlink(path)}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "folder"
    return found


def assert_one_line(ended: Ended, *words: str, code: int = 2) -> None:
    """Assert one line on standard error that contains all of `words`, and this exit code."""
    assert ended.code == code, ended
    lines = ended.err.strip().splitlines()
    assert len(lines) == 1, ended
    assert lines[0].startswith("bench: "), ended
    assert "Traceback" not in ended.text, ended
    for word in words:
        assert word in lines[0], (word, lines[0])
