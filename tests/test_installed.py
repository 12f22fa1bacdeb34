"""A wheel, installed into its own folder, starts where `plots/` and `models/` are the user's.

An editable install hides files that a wheel lacks, and a start from the checkout finds the bench's
packages before anybody else's.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from .program import ROOT, Ended, bench, environment

ROOMS = ("bench", "models", "plots")
NET = """
from torch import nn

def build(num_classes):
    return nn.Sequential(
        nn.Conv2d(3, 8, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes)
    )
"""


def files() -> list[str]:
    """What git has of the three packages, with what is new and not ignored."""
    asked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *ROOMS]
    listed = subprocess.run(
        asked, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    return sorted(name for name in listed if name and (ROOT / name).exists())


def pip(*arguments: str | Path) -> None:
    """pip without a network, from nothing but what is given."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        *map(str, arguments),
        "--no-deps",
        "--no-index",
        "--quiet",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel from a copy.

    setuptools leaves a `build/` behind, whose files it would put into the next wheel.
    """
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in [*files(), "pyproject.toml", "README.md", "LICENSE"]:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    pip("wheel", "--no-build-isolation", "--wheel-dir", out, copy)
    [built] = out.glob("*.whl")
    return built


def test_the_wheel_holds_every_file_of_its_packages(wheel: Path) -> None:
    packed = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    assert sorted(packed) == files()


def test_a_wheel_works_where_the_user_has_plots_and_models_of_his_own(
    wheel: Path, tmp_path: Path
) -> None:
    target, here = tmp_path / "installed", tmp_path / "project"
    pip("install", "--target", target, wheel)
    for room in ("plots", "models"):
        (here / room).mkdir(parents=True)
        (here / room / "__init__.py").write_text("raise RuntimeError('these are the user\\'s')\n")
    (here / "net.py").write_text(NET)

    def started(*arguments: str) -> Ended:
        ended = bench(*arguments, cwd=here, env={"PYTHONPATH": str(target)})
        assert ended.code == 0, ended
        return ended

    asked = [sys.executable, "-c", "import bench; print(bench.__file__)"]
    runs = subprocess.run(
        asked,
        cwd=here,
        env=environment(PYTHONPATH=str(target)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(runs.stdout.strip()).parent == target / "bench"
    started(
        "run", "--models", "./net.py:build,vit_s16", "--metrics", "params,macs", "--device", "cpu"
    )
    started("report")
    page = here / "results" / "report.html"
    assert "./net.py:build" in page.read_text()
    assert list((here / "results").glob("*/pareto_params*.png"))
    claimed = bench(
        "claim",
        "convmixer_768_32 > vit_s16",
        "--on",
        "top1",
        cwd=here,
        env={"PYTHONPATH": str(target)},
    )
    assert claimed.code in (0, 1) and "Traceback" not in claimed.text, (
        claimed
    )  # published rows answer, whichever way
    assert list((here / "results" / "claims").glob("*.png"))


def imported(path: Path) -> set[str]:
    """Return the packages that a file imports by name, at any place in it.

    `import_room` counts as one, since it imports the bench's packages by a string.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found |= {
                str(node.module).split(".")[0],
                *({"import_room"} & {alias.name for alias in node.names}),
            }
    return found


def test_nothing_in_bench_imports_models_or_plots_by_name() -> None:
    """An import by name would find a user's own `models/` or `plots/` folder. Registries do not."""
    by_name = {
        path: imported(path) & {"models", "plots", "import_room"}
        for path in (ROOT / "bench").rglob("*.py")
    }
    assert not {str(path): found for path, found in by_name.items() if found}
