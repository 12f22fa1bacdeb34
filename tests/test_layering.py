"""Which room may import which, and what may be loaded by which command (DESIGN: data run from left to right)."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.registry import ROOT

LEAVES = {"bench.errors", "bench.registry"}
FILES = [path for room in ("bench", "models", "plots") for path in sorted((ROOT / room).rglob("*.py"))]


def imports(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it; TYPE_CHECKING blocks do not run and do not count."""
    found: set[str] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def ours(path: Path) -> set[str]:
    return {name for name in imports(path) if name.split(".")[0] in ("bench", "models", "plots")}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


LEAF = {"bench", "bench.errors", "bench.disk", "bench.limits", "bench.refusing"}
ABOVE = {"record": {"bench.known_metrics"}}


@pytest.mark.parametrize(
    "name", ["config", "record", "registry", "stats", "errors", "disk", "limits", "refusing", "known_metrics", "unpacking"]
)
def test_leaves_import_nothing_of_ours(name: str) -> None:
    allowed = LEAF | ABOVE.get(name, set())
    found = {one for one in ours(ROOT / "bench" / f"{name}.py") if (ROOT / f"{one.replace('.', '/')}.py").exists()}
    assert found <= allowed


@pytest.mark.parametrize("path", [p for p in FILES if p.parts[-2] == "models"], ids=name_of)
def test_models_import_only_the_registry(path: Path) -> None:
    allowed = ("bench.errors", "bench.registry", "bench.plugins")
    assert all(found.startswith(allowed) for found in ours(path)), ours(path)


@pytest.mark.parametrize("path", [p for p in FILES if {"metrics", "training"} & set(p.parts)], ids=name_of)
def test_metrics_and_training_never_import_the_runner(path: Path) -> None:
    assert not {name for name in ours(path) if name.startswith(("bench.runner", "bench.cli", "bench.plan", "bench.report"))}


@pytest.mark.parametrize("path", [p for p in FILES if p.parts[-2] == "plots" or p.stem in ("report", "tables", "summary")], ids=name_of)
def test_what_shows_imports_no_torch_and_measures_nothing(path: Path) -> None:
    heavy = ("torch", "timm", "fvcore", "bench.runner", "bench.subject", "bench.worker", "bench.training", "bench.metrics")
    assert not {name for name in imports(path) if name.startswith(heavy)}


@pytest.mark.parametrize("path", [p for p in FILES if p.stem != "timing" and "memory" not in p.stem], ids=name_of)
def test_only_timing_synchronises_a_device(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "cuda.synchronize" not in text
    assert "mps.synchronize" not in text


def modules_loaded(*arguments: str, cwd: Path) -> set[str]:
    found = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "bench", *arguments], capture_output=True, text=True, cwd=cwd, timeout=120
    )
    assert found.returncode == 0, found.stderr[-2000:]
    return {line.rpartition("|")[2].strip() for line in found.stderr.splitlines() if line.startswith("import time:")}


def test_help_loads_neither_torch_nor_timm(tmp_path: Path) -> None:
    for arguments in (["--help"], ["run", "--help"], ["report", "--help"]):
        assert not {"torch", "timm", "scipy", "matplotlib"} & modules_loaded(*arguments, cwd=tmp_path)


def test_report_loads_neither_torch_nor_timm(results: Path) -> None:
    loaded = modules_loaded("report", "--results", str(results), cwd=results)
    assert not {"torch", "timm", "fvcore"} & loaded
    assert "matplotlib" in loaded


@pytest.mark.parametrize("path", sorted((ROOT / "tests" / "by_hand").glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_what_is_run_by_hand_finds_what_it_imports(path: Path) -> None:
    """Nothing else runs them in CI, and a function that moved would be noticed years later."""
    missing = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("bench", "models", "plots", "tests"):
            module = importlib.import_module(node.module)
            known = {*dir(module), *(one.name for one in pkgutil.iter_modules(getattr(module, "__path__", [])))}
            missing += [f"{node.module}.{one.name}" for one in node.names if one.name not in known]
    assert not missing
