"""The registry: discovery, suggestions, and plug-ins that fail."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.plugins import datasets, figures, metrics, models, policies
from bench.plugins.recipe import recipes
from bench.plugins.registry import ROOT, Registry

ALL = [models, metrics, policies, datasets, figures, recipes]


@dataclass(frozen=True)
class Thing:
    name: str


@pytest.mark.parametrize("registry", ALL, ids=lambda registry: registry.kind)
def test_every_room_holds_something_and_finds_it_again(registry: Registry[Thing]) -> None:
    assert registry.names()
    for name in registry.names():
        assert registry.get(name).name == name


@pytest.mark.parametrize("registry", ALL, ids=lambda registry: registry.kind)
def test_unknown_names_say_what_was_probably_meant(registry: Registry[Thing]) -> None:
    name = registry.names()[0]
    with pytest.raises(
        UsageError,
        match=rf"{registry.flag}: no {registry.kind} named '{name}x'; did you mean {name}\?",
    ):
        registry.get(f"{name}x")


def test_one_name_from_two_files_is_refused() -> None:
    registry: Registry[Thing] = Registry("thing", room="bench.metrics", flag="--things")
    exec(
        compile("registry.add(thing)", "first.py", "exec"),
        {"registry": registry, "thing": Thing("a")},
    )
    with pytest.raises(ValueError, match=r"registered by first\.py and by"):
        registry.add(Thing("a"))


@pytest.mark.parametrize("name", ["tiny,net", "a@b", "two words"])
def test_a_name_that_no_flag_could_give_is_refused(name: str) -> None:
    registry: Registry[Thing] = Registry("thing", room="bench.metrics", flag="--things")
    with pytest.raises(UsageError, match=r"test_registry\.py: a thing cannot be called"):
        registry.add(Thing(name))


def in_copy(
    tmp_path: Path, files: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run the bench from a copy of the project with some files added."""
    for room in ("bench", "models", "plots"):
        subprocess.run(["cp", "-r", str(ROOT / room), str(tmp_path / room)], check=True)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_plug_in_that_fails_to_import_stops_the_command_with_its_own_error(
    tmp_path: Path,
) -> None:
    run = in_copy(tmp_path, {"models/broken.py": "import no_such_package_xyz\n"}, "list", "models")
    assert run.returncode == 2
    assert (
        "broken.py cannot be imported: ModuleNotFoundError: No module named 'no_such_package_xyz'"
        in run.stderr
    )
    assert "Traceback" not in run.stderr
    (tmp_path / "models" / "broken.py").write_text("import sys\nsys.exit(0)\n")
    run = subprocess.run(
        [sys.executable, "-m", "bench", "list", "models"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 2
    assert "broken.py is a plug-in and called sys.exit(0)" in run.stderr
