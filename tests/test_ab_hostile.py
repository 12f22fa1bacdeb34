"""`bench ab` on cases and repositories that once misled it: what an outside reader found."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from .program import ROOT, Ended, assert_one_line, bench, environment
from .test_ab import git

CASES = """
import asyncio, os, subprocess, time

async def work(n):
    return sum(range(n))

def coroutine():
    return work, (1000,)

def generator():
    def numbers(n):
        yield from range(n)
    return numbers, (1000,)

class Odd:
    dtype = "odd"
    def __array__(self):
        raise TypeError("not here")

def odd_output():
    return lambda: (sum(range(2000)), 10**5000, Odd())

def with_children():
    subprocess.Popen(["sleep", "9871"])
    os.system("sleep 9872 &")
    return lambda: sum(range(2000))

def deaf():
    def work():
        os.closerange(0, 100)
        time.sleep(3600)
    return work
"""
REFUSED = {
    "coroutine": "a call returns coroutine, of which nothing has run; have the case return",
    "generator": "a call returns generator, of which nothing has run; have the case return",
    "deaf": "closed the connection of its process",
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose package lies in `python/`, with work that doubles in the last commit."""
    folder = tmp_path_factory.mktemp("odd")
    git(folder, "init", "-q", "-b", "main")
    (folder / "python" / "pkg").mkdir(parents=True)
    package = folder / "python" / "pkg" / "__init__.py"
    package.write_text("def work():\n    return sum(range(3000))\n")
    (folder / "cases.py").write_text(CASES)
    (folder / "bench_me.py").write_text("import pkg\n\ndef case():\n    return pkg.work\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "once")
    package.write_text("def work():\n    return sum(range(3000)) + sum(range(3000))\n")
    git(folder, "commit", "-q", "-a", "-m", "twice")
    return folder


def compared(case: str, folder: Path, *more: str, path: str | None = None) -> Ended:
    refs = ("--base", "HEAD~1", "--head", "HEAD")
    given = {} if path is None else {"PYTHONPATH": f"{ROOT}{os.pathsep}{path}"}
    return bench("ab", *refs, "--case", case, "--minutes", "0.3", *more, cwd=folder, env=given)


@pytest.mark.parametrize("name", REFUSED)
def test_what_times_nothing_is_refused(name: str, odd: Path) -> None:
    assert_one_line(compared(f"cases.py:{name}", odd), REFUSED[name])


def test_an_output_that_cannot_be_described_is_only_not_compared(odd: Path) -> None:
    ended = compared("cases.py:odd_output", odd)
    assert ended.code == 0, ended


def test_children_of_a_case_end_with_it(odd: Path) -> None:
    compared("cases.py:with_children", odd)
    time.sleep(0.5)
    left = subprocess.run(["pgrep", "-f", "sleep 987[12]"], capture_output=True, text=True).stdout
    assert left == ""


def test_a_package_of_the_checkout_is_neither_sides(odd: Path, tmp_path: Path) -> None:
    """An editable install leads both sides to one checkout: a commit twice as slow was SAME."""
    made = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made)], check=True)
    [packages] = made.glob("lib/python*/site-packages")
    (packages / "editable.pth").write_text(f"{odd / 'python'}\n")
    envs = ("--base-env", str(made), "--head-env", str(made))
    ended = compared("bench_me.py:case", odd, *envs)
    assert_one_line(ended, "pkg/__init__.py, which is in your checkout")


@pytest.mark.parametrize("given", ["absolute", "relative"])
def test_a_folder_on_the_users_path_is_each_sides_own(given: str, odd: Path) -> None:
    path = str(odd / "python") if given == "absolute" else "python"
    ended = compared("bench_me.py:case", odd, path=path)
    # Twice the sum: each side has imported its own.
    assert "NOT THE SAME WORK" in ended.out.splitlines()[0], ended


def test_the_action_starts_this_program_and_no_file_of_the_repository(tmp_path: Path) -> None:
    """`python -m bench` would run a `bench.py` of the repository, and pass."""
    script = Path(sys.executable).with_name("convmixer-bench")
    (tmp_path / "bench.py").write_text("print('mine')\n")
    (tmp_path / "json.py").write_text("raise SystemExit('my json')\n")
    steps = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]
    assert "-m bench" not in steps[-1]["run"] and "python -I -m venv" in steps[0]["run"]
    assert '"$RUNNER_TEMP/bench/bin/convmixer-bench" ab' in steps[-1]["run"]
    if script.exists():
        said = subprocess.run(
            [script, "--help"], cwd=tmp_path, env=environment(), capture_output=True, text=True
        )
        assert said.returncode == 0 and said.stdout.startswith("Usage: bench COMMAND")
