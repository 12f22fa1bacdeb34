"""Four seconds of every fuzz target, and that a target finds what is planted."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .program import ROOT, environment

TARGETS = sorted(
    path.stem
    for path in (ROOT / "tests" / "fuzz").glob("*.py")
    if path.stem not in ("__init__", "target")
)
needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris has wheels for Linux on x86 alone"
)
CORPUS_BYTES = 200_000


def fuzzed(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@needs_atheris
@pytest.mark.parametrize("target", TARGETS)
def test_seconds_of_a_target(target: str, tmp_path: Path) -> None:
    done = fuzzed("-m", f"tests.fuzz.{target}", "--seconds", "4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    [read] = re.findall(r"number_of_executed_units: (\d+)", done.stderr)
    assert int(read) >= 50
    coverage = [int(lines) for lines in re.findall(r"\bcov: (\d+)", done.stderr)]
    assert coverage[-1] > 60, "the program's own code is instrumented"


PLANTED = """
from bench.plugins import models

known = models.get
def get(name):
    if "Q" in name:
        raise KeyError(name)
    return known(name)
models.get = get
import runpy, sys
sys.argv = ["names", "--seconds", "60", "--seed", "1"]
runpy.run_module("tests.fuzz.names", run_name="__main__", alter_sys=False)
"""


@needs_atheris
def test_a_traceback_is_found_and_its_input_is_kept(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text(PLANTED)
    done = fuzzed("planted.py", cwd=tmp_path)
    assert done.returncode == 77, done.stderr[-3000:]
    assert "KeyError" in done.stdout, "the traceback of what was planted"
    [kept] = tmp_path.glob("crash-*")
    assert b"Q" in kept.read_bytes()


def test_the_corpus_is_small_and_of_targets() -> None:
    corpus = ROOT / "tests" / "fuzz" / "corpus"
    assert {path.name for path in corpus.iterdir()} <= set(TARGETS)
    sizes = [path.stat().st_size for path in corpus.rglob("*") if path.is_file()]
    assert sizes and sum(sizes) < CORPUS_BYTES
