"""Which wing may import which, what a command may load, and how large a file may grow."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bench.plugins.registry import ROOT

from .layers import FREE_OF_TORCH, UNNAMED, WINGS, Tree, allowed, circle

TREE = Tree(ROOT)
MOVING = any(file.parent == Path("bench") for file in TREE.unplaced)


def plant(root: Path, files: Mapping[str, str]) -> Tree:
    """A little tree of files, each with its source."""
    for name, source in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(source, encoding="utf-8")
    return Tree(root)


# The table


def test_the_table_has_no_circle_and_nothing_it_does_not_know() -> None:
    graph = {wing: allowed(wing) - {wing} for wing in (*WINGS, "cli")}
    assert set().union(*graph.values()) <= set(WINGS)
    assert circle(graph) == []


@pytest.mark.parametrize("wing", sorted(FREE_OF_TORCH))
def test_what_is_free_of_torch_imports_only_what_is(wing: str) -> None:
    assert allowed(wing) <= FREE_OF_TORCH


def test_nobody_imports_the_command_line_the_checks_or_the_unnamed() -> None:
    imported = {other for wing in WINGS for other in allowed(wing) - {wing}}
    assert not imported & {"cli", "check", *UNNAMED}
    assert allowed("cli") >= {"check"} and not allowed("cli") & UNNAMED


# The checker, on planted violations

STATS = "bench/stats/intervals.py"
RULES = "bench/claims/rules.py"
AGAINST = {
    "plain": "import bench.run.runner\n",
    "plain with a name of its own": "import bench.run.runner as other\n",
    "name from a module": "from bench.run.runner import Runner\n",
    "module from a package": "from bench.run import runner\n",
    "everything from a module": "from bench.run.runner import *\n",
    "name that a package defines": "from bench.run import Runner\n",
    "relative, from a module": "from ..run.runner import Runner\n",
    "relative, of a package": "from .. import run\n",
    "relative, module from a package": "from ..run import runner\n",
    "inside a function": "def f():\n    from bench.run.runner import Runner\n    return Runner\n",
    "inside a method, relative": "class A:\n    def f(self):\n        from ..run import runner\n",
    "under TYPE_CHECKING": "from typing import TYPE_CHECKING\n"
    "if TYPE_CHECKING:\n    from bench.run.runner import Runner\n",
    "under typing.TYPE_CHECKING": "import typing\n"
    "if typing.TYPE_CHECKING:\n    import bench.run.runner\n",
    "where another one is missing": "try:\n    import json\n"
    "except ImportError:\n    import bench.run.runner\n",
    "by string": "import importlib\nimportlib.import_module('bench.run.runner')\n",
}


@pytest.mark.parametrize("source", AGAINST.values(), ids=AGAINST.keys())
def test_an_import_against_the_table_is_found(source: str, tmp_path: Path) -> None:
    tree = plant(tmp_path, {"bench/run/__init__.py": "", "bench/run/runner.py": "", RULES: source})
    [found] = tree.against_the_table()
    assert found.startswith(f"{RULES}:") and "claims may not import run" in found


ALONG = {
    "its own wing": "from .scales import SCALES\nfrom bench.claims import scales\n",
    "a wing of its row": "from bench.stats.intervals import Effect\n"
    "from ..stats import intervals\n",
    "the files": "from bench.files import disk\n",
    "a single module": "from bench.errors import UsageError\nfrom ..devices import CPU\n",
    "others' packages": "import run\nfrom run.runner import Runner\nimport numpy\n",
}


@pytest.mark.parametrize("source", ALONG.values(), ids=ALONG.keys())
def test_an_import_along_the_table_is_not(source: str, tmp_path: Path) -> None:
    files = dict.fromkeys(
        (
            "bench/claims/scales.py",
            STATS,
            "bench/files/disk.py",
            "bench/errors.py",
            "bench/devices.py",
        ),
        "",
    )
    tree = plant(tmp_path, files | {RULES: source})
    assert (
        tree.against_the_table()
        == tree.heavy()
        == tree.by_name()
        == tree.file_circle()
        == tree.wing_circle()
        == []
    )


def test_nobody_imports_the_package_itself(tmp_path: Path) -> None:
    """`bench/__init__.py` is for notebooks: its `load` leads to every wing."""
    tree = plant(tmp_path, {"bench/__init__.py": "", STATS: "from bench import load\n"})
    assert tree.against_the_table() == [f"{STATS}:1: stats may not import bench (bench.load)"]


@pytest.mark.parametrize("library", ["torch", "timm", "fvcore", "torchvision"])
@pytest.mark.parametrize(
    "source",
    [
        "import {}\n",
        "from {}.nn import Module\n",
        "def f():\n    import {}\n",
        "if TYPE_CHECKING:\n    from {} import Tensor\n",
    ],
    ids=["plain", "from", "deferred", "for types"],
)
def test_a_heavy_import_in_a_wing_without_is_found(
    source: str, library: str, tmp_path: Path
) -> None:
    text = source.format(library)
    tree = plant(tmp_path, {STATS: text, "bench/measure/timing.py": text, "plots/pareto.py": text})
    assert [line.partition(":")[0] for line in tree.heavy()] == [STATS, "plots/pareto.py"]
    assert f"stats is free of {library}" in tree.heavy()[0]


@pytest.mark.parametrize("room", ["models", "plots"])
@pytest.mark.parametrize(
    "source",
    [
        "import {}\n",
        "from {} import _style\n",
        "from {}._style import family\n",
        "def f():\n    import {}._style\n",
        "__import__('{}')\n",
    ],
    ids=["plain", "from", "of a module", "deferred", "by string"],
)
def test_models_or_plots_by_name_are_found(source: str, room: str, tmp_path: Path) -> None:
    page, text = "bench/report/page/data.py", source.format(room)
    files = {f"{room}/__init__.py": "", f"{room}/_style.py": "", page: text}
    tree = plant(tmp_path, files | {f"{room}/one.py": "from ._style import family\n"})
    [found] = tree.by_name()
    assert found.startswith(f"{page}:") and f"imports {room}" in found


CIRCLES = {
    "plain": ("from bench.stats.b import B\n", "from bench.stats.a import A\n"),
    "relative": ("from .b import B\n", "from . import a\n"),
    "deferred": ("from .b import B\n", "def f():\n    from .a import A\n"),
    "for types": ("from .b import B\n", "if TYPE_CHECKING:\n    from .a import A\n"),
}


@pytest.mark.parametrize(("first", "second"), CIRCLES.values(), ids=CIRCLES.keys())
def test_a_circle_of_two_files_is_found(first: str, second: str, tmp_path: Path) -> None:
    tree = plant(
        tmp_path,
        {
            "bench/stats/a.py": first,
            "bench/stats/b.py": second,
            "bench/stats/c.py": "from .a import A\n",
        },
    )
    assert set(tree.file_circle()) == {"bench/stats/a.py", "bench/stats/b.py"}
    assert tree.wing_circle() == []


def test_a_circle_of_three_files_through_a_package_is_found(tmp_path: Path) -> None:
    files = {
        "__init__": "from .a import A\n",
        "a": "from .b import B\n",
        "b": "from bench.plugins import A\n",
    }
    tree = plant(tmp_path, {f"bench/plugins/{name}.py": source for name, source in files.items()})
    assert len(set(tree.file_circle())) == 3


def test_a_circle_of_two_wings_is_found_where_their_files_make_none(tmp_path: Path) -> None:
    files = {
        "bench/record/a.py": "from bench.stats import b\n",
        "bench/stats/b.py": "",
        "bench/stats/c.py": "from ..record import d\n",
    }
    tree = plant(tmp_path, files | {"bench/record/d.py": ""})
    assert set(tree.wing_circle()) == {"record", "stats"}
    assert tree.file_circle() == []


def test_what_has_not_moved_is_not_held(tmp_path: Path) -> None:
    files = {
        "bench/summary.py": "import torch\nimport plots\nfrom bench.cli import app\n",
        "bench/cli/app.py": "",
        "bench/page/data.py": "",
    }
    tree = plant(
        tmp_path, files | {STATS: "from bench import summary\nfrom bench.page import data\n"}
    )
    assert tree.against_the_table() == tree.heavy() == tree.by_name() == []
    assert [str(file) for file in tree.unplaced] == ["bench/page/data.py", "bench/summary.py"]


def test_sizes_are_counted(tmp_path: Path) -> None:
    long = "def f():\n" + 60 * "    pass\n"
    files = {f"bench/stats/m{number}.py": "" for number in range(17)} | {
        f"bench/m{number}.py": "" for number in range(7)
    }
    files |= {f"bench/metrics/m{number}.py": "" for number in range(32)}
    files |= {f"bench/policies/m{number}.py": "" for number in range(33)}
    tree = plant(
        tmp_path,
        files
        | {
            "plots/a.py": 400 * "\n",
            "plots/b.py": 401 * "\n",
            "plots/c.py": long,
            "plots/d.py": long[:-9],
        },
    )
    assert tree.crowded() == [
        "bench: 7 files, at most 6",
        "bench/policies: 33 files, at most 32",
        "bench/stats: 17 files, at most 16",
    ]
    assert tree.long_files() == ["plots/b.py: 401 lines, at most 400"]
    assert tree.long_functions() == ["plots/c.py:1: f has 61 lines, at most 60"]


# The tree as it is


@pytest.mark.parametrize(
    "check",
    [Tree.against_the_table, Tree.heavy, Tree.by_name, Tree.file_circle, Tree.wing_circle],
    ids=lambda check: check.__name__,
)
def test_the_wings_keep_to_the_table(check: Callable[[Tree], list[str]]) -> None:
    assert check(TREE) == []


def test_every_module_is_of_a_wing() -> None:
    assert TREE.unplaced == []


def test_no_folder_is_crowded() -> None:
    assert TREE.crowded() == []


def test_no_file_is_long() -> None:
    assert TREE.long_files() == []


def test_no_function_is_long() -> None:
    assert TREE.long_functions() == []


def test_only_timing_synchronises_a_device() -> None:
    # The timing server of `bench ab` runs where this package is not installed.
    own = ("timing", "server")
    others = [file for file in TREE.files if file.stem not in own and "memory" not in file.stem]
    texts = {str(file): (ROOT / file).read_text(encoding="utf-8") for file in others}
    waiting = re.compile(r"(cuda|mps)\.synchronize")
    assert [name for name, text in texts.items() if waiting.search(text)] == []


def modules_loaded(*arguments: str, cwd: Path) -> set[str]:
    found = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "bench", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
    )
    assert found.returncode == 0, found.stderr[-2000:]
    return {
        line.rpartition("|")[2].strip()
        for line in found.stderr.splitlines()
        if line.startswith("import time:")
    }


def test_help_loads_neither_torch_nor_timm(tmp_path: Path) -> None:
    loaded = modules_loaded("--help", cwd=tmp_path)
    assert not {"torch", "timm", "scipy", "matplotlib"} & loaded
    ours = {name for name in loaded if name.startswith("bench.cli.")}
    shown = {"bench.cli.help", "bench.cli.help.commands", "bench.cli.help.mistakes"}
    assert ours == {"bench.cli.app", "bench.cli.terminal", *shown}, (
        "others are imported when called"
    )


def test_no_commands_help_loads_torch(tmp_path: Path) -> None:
    """All of them in one process, since each start takes its time."""
    show_all = """
import sys
from bench.cli.app import app, main

def show(command, *names):
    assert main([*names, "--help"]) == 0
    for name in command:
        if not name.startswith("-"):
            show(command[name], *names, name)


show(app)
heavy = {"torch", "timm", "torchvision", "fvcore", "scipy", "matplotlib", "numpy", "pandas"}
sys.exit(", ".join(heavy & set(sys.modules)) or 0)
"""
    shown = subprocess.run(
        [sys.executable, "-c", show_all], capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    assert shown.returncode == 0, shown.stderr
    for flag in ("--models", "--compare", "--max-minutes", "--fail-on-regression", "--tolerance"):
        assert flag in shown.stdout


def test_report_loads_neither_torch_nor_timm(results: Path) -> None:
    loaded = modules_loaded("report", "--results", str(results), cwd=results)
    assert not {"torch", "timm", "fvcore"} & loaded
    assert "matplotlib" in loaded


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tests" / "by_hand").glob("[a-z]*.py")), ids=lambda path: path.stem
)
def test_what_is_run_by_hand_finds_what_it_imports(path: Path) -> None:
    """Nothing else runs them in CI, and a function that moved would be noticed years later."""
    missing = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.split(".")[0] in ("bench", "models", "plots", "tests")
        ):
            module = importlib.import_module(node.module)
            known = {
                *dir(module),
                *(one.name for one in pkgutil.iter_modules(getattr(module, "__path__", []))),
            }
            missing += [f"{node.module}.{one.name}" for one in node.names if one.name not in known]
    assert not missing
