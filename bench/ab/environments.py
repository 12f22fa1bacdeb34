"""The interpreter of each side: the user's own, or virtual environments that are made and removed.

If the files that state requirements are equal at both commits, the second environment is a layer
on the first: it sees what is installed there, and the install command adds the project alone.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.errors import UsageError
from bench.measure.processes import kill_tree

STATED = (
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "requirements*.txt",
    "requirements/*.txt",
    "constraints*.txt",
    "Pipfile.lock",
    "poetry.lock",
    "pdm.lock",
    "uv.lock",
    "environment*.y*ml",
)
"""Files that state requirements, in the root of a repository."""
VENV = ("venv",)
"""The module, with its arguments, that makes an environment."""
SHOWN = 3
"""Last lines of a failed install command that are shown."""


def interpreter(given: str, flag: str) -> Path:
    """Return the Python of an environment, given as its folder or its interpreter.

    Raises UsageError if there is none, or if it does not start.
    """
    path = Path(given).expanduser()
    python = path / "bin" / "python" if path.is_dir() else path
    # Not resolved: the path of a virtual environment's interpreter decides what it imports.
    python = Path(os.path.abspath(python))
    if not python.is_file():
        raise UsageError(
            f"{flag}: {given} is neither an environment's folder (with bin/python) nor a Python"
        )
    try:
        ended = subprocess.run(
            [python, "-c", "import sys; print(sys.version_info >= (3, 8))"],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{flag}: {python} does not start: {error}") from None
    if ended.stdout.strip() != "True":
        raise UsageError(f"{flag}: {python} is no Python from 3.8 on")
    return python


def requirements(tree: Path) -> str:
    """Return a digest of all files in a tree that state requirements."""
    found = hashlib.sha256()
    for pattern in STATED:
        for path in sorted(tree.glob(pattern)):
            found.update(repr((path.relative_to(tree).as_posix(), path.read_bytes())).encode())
    return found.hexdigest()


def make(
    trees: list[Path], install: str, folder: Path, tell: Callable[[str], None]
) -> tuple[list[Path], bool]:
    """Run the install command in each tree, with an environment of its own.

    Returns the interpreters, and whether the second environment is a layer on the first. Raises
    UsageError, with its last lines, if the command fails.
    """
    shared = len({requirements(tree) for tree in trees}) == 1
    pythons: list[Path] = []
    for place, tree in enumerate(trees):
        python = _new(folder / f"env{place}")
        if pythons and shared:
            _see(python, pythons[0])
        tell(f"installing {('base', 'head')[place]}: {install}")
        _install(install, tree, python)
        pythons.append(python)
    return pythons, shared


def _new(folder: Path) -> Path:
    ended = subprocess.run(
        [sys.executable, "-m", *VENV, str(folder)],
        env={**os.environ, "TMPDIR": str(folder.parent)},  # which is removed, even after Ctrl-C
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if ended.returncode:
        said = _last_lines(ended.stdout + ended.stderr)
        raise UsageError(
            f"--install: an environment could not be made by `{sys.executable} -m venv`: {said}"
        )
    return folder / "bin" / "python"


def _see(upper: Path, lower: Path) -> None:
    """Have an environment find what is installed in another one, after what it has itself."""
    asked = "from sysconfig import get_path as at; print(at('purelib')); print(at('platlib'))"
    places: list[list[str]] = []
    for python in (upper, lower):
        ended = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True)
        places.append(list(dict.fromkeys(ended.stdout.split("\n")[:2])))
    (Path(places[0][0]) / "beside.pth").write_text("\n".join(places[1]) + "\n", encoding="utf-8")


def _install(install: str, tree: Path, python: Path) -> None:
    environment = {
        **os.environ,
        "VIRTUAL_ENV": str(python.parent.parent),
        "TMPDIR": str(python.parent.parent.parent),
        "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    for name in ("PYTHONHOME", "PYTHONPATH"):
        environment.pop(name, None)
    process = subprocess.Popen(
        install,
        shell=True,
        cwd=tree,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        said, _ = process.communicate()
    except BaseException:
        kill_tree(process.pid)  # pip too, not the shell alone
        process.wait()
        raise
    if process.returncode:
        raise UsageError(
            f"--install: `{install}` failed for {tree.name} with exit code {process.returncode}: "
            f"{_last_lines(said)}"
        )


def _last_lines(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-SHOWN:]) or "it printed nothing"
