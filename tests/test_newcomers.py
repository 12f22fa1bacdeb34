"""One new thing is one new file: nothing else of the project has to be touched for it.

The project is copied, one file of every kind is added to the copy, and the copy is used and tested.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .newcomers import FILES, copied
from .program import environment

ASKS = re.compile(r"\b(?!visit\b)\w+\.(entries|names)\(\)|identity\.RELEASED|\bTREE\b")
"""In tests that go through everything in a registry (a visit has entries too), or all files."""
LEFT_OUT = ("test_newcomers.py", "test_hostile.py", "test_rendering.py")
"""This file, and two that take long and ask nothing of a new file."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the newcomers."""
    return copied(tmp_path_factory.mktemp("project"), FILES)


METRICS = "params,macs,activations,newcomer_count,throughput,newcomer_speed,top1,newcomer_accuracy"
ASKED = ["--models", "newcomer", "--metrics", METRICS, "--data", "newcomer"]
KINDS = [
    "models",
    "families",
    "metrics",
    "policies",
    "datasets",
    "recipes",
    "studies",
    "figures",
]
COMMANDS = {
    **{f"list {kind}": ["list", kind] for kind in KINDS},
    "run": [
        "run",
        *ASKED,
        "--policies",
        "newcomer,newcomer64",
        "--device",
        "cpu",
        "--rounds",
        "2",
        "--num-classes",
        "10",
    ],
    "report": ["report"],
    "verdict": ["study", "verdict", "newcomer"],
    "claim": ["claim", "newcomer_timm < vit_s16", "--on", "top1", "--results", "empty"],
}
ALL = """
import contextlib, io, json, sys

if __name__ == "__main__":
    from bench.cli.app import main

    said = {}
    for name, arguments in json.loads(sys.argv[1]).items():
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with contextlib.redirect_stdout(out):
            code = main(arguments)
        out.flush()
        said[name] = [code, out.buffer.getvalue().decode("utf-8")]
    print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(project: Path) -> dict[str, str]:
    """What each command prints. They share a process, which takes longer to start than most."""
    (project / "empty").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", ALL, json.dumps(COMMANDS)],
        cwd=project,
        env=environment(PYTHONPATH=str(project)),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    ended = json.loads(done.stdout)
    assert {name: code for name, (code, _) in ended.items() if code} == {}, done.stderr
    return {name: out for name, (_, out) in ended.items()}


def test_every_newcomer_is_listed(said: dict[str, str]) -> None:
    lines = [line for kind in KINDS for line in said[f"list {kind}"].splitlines()]
    listed = [line.split()[0] for line in lines if line.startswith("newcomer")]
    models, policies, rest = (
        ["newcomer", "newcomer_timm"],
        ["newcomer", "newcomer64"],
        ["newcomer"] * 4,
    )
    metrics = [f"newcomer_{arm}" for arm in ("accuracy", "count", "probe", "speed")]
    assert sorted(listed) == sorted([*models, *metrics, *policies, *rest])


def test_newcomers_are_measured_and_shown(project: Path, said: dict[str, str]) -> None:
    assert "newcomer speed bit b2 ↑" in said["run"]
    [machine] = [path for path in (project / "results").iterdir() if path.is_dir()]
    report = (machine / "report.md").read_text(encoding="utf-8")
    page = (project / "results" / "report.html").read_text(encoding="utf-8")
    for column in ("newcomer count bit", "newcomer speed bit b2", "newcomer accuracy bit"):
        assert f"{column} ↑" in report
    for label in (
        "newcomer count in bit",
        "newcomer speed in bit, batch 2",
        "newcomer accuracy in bit on newcomer",
    ):
        assert label in page
    assert "newcomer count bit ↑" in report.partition("## Best policy")[2].partition("\n## ")[0]
    assert "recipe newcomer" in report
    assert (machine / "newcomer.svg").exists()
    under = report.partition("## Under this machine's ceilings")[2].partition("\n## ")[0]
    assert "| newcomer " in under
    assert (
        "newcomer64" in report and "newcomer64" not in under
    )  # nobody knows how many bytes its numbers have
    records = [path.read_text(encoding="utf-8") for path in (machine / "records").glob("*.jsonl")]
    assert not any('"status":"failed"' in text for text in records)
    assert all('"source":"' in text for text in records if '"model":"newcomer"' in text)
    assert "Is it faster?" in said["verdict"]


def test_a_published_newcomer_is_compared_without_records(said: dict[str, str]) -> None:
    assert "robust" in said["claim"]


def asking(path: Path) -> list[str]:
    """The tests of a file that go through everything."""
    text = path.read_text(encoding="utf-8")
    tests = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    return [node.name for node in tests if ASKS.search(ast.get_source_segment(text, node) or "")]


def test_no_test_asks_for_more_than_the_file(project: Path) -> None:
    """All tests that go through everything, and of the parametrised ones those of the newcomers."""
    every = [
        path for path in sorted((project / "tests").glob("test_*.py")) if path.name not in LEFT_OUT
    ]
    files = [path for path in every if ASKS.search(path.read_text(encoding="utf-8"))]
    names = [name for path in files for name in asking(path)]
    assert "test_models_of_this_release_are_known_by_their_names" in names
    options = ["-n0", "-q", "-p", "no:cacheprovider", "-k", " or ".join(["newcomer", *names])]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *map(str, files)],
        cwd=project,
        env=environment(PYTHONPATH=str(project)),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-6000:]
