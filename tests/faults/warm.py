"""Import in this process what commands import on their way, so that their forks need not."""

from __future__ import annotations

import gc
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.faults import forked
from tests.faults.cases import Case, arrange

PLUGINS = ("metrics", "policies", "datasets", "recipes", "studies", "launchers")
ROOMS = (*(f"bench.{name}" for name in PLUGINS), "models", "plots")
"""What registries import by themselves."""


class Noting:
    """Notes the name of every module that is looked for."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find_spec(self, name: str, path: object, target: ModuleType | None = None) -> None:
        """Find nothing."""
        with self._path.open("a") as file:
            file.write(f"{name}\n")


def warm(cases: Sequence[Case]) -> None:
    """Run the cases once, and import what they have imported."""
    import bench.cli.app  # noqa: F401

    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        noted = Path(folder, "noted")
        for number, case in enumerate(cases):
            cwd = Path(folder, str(number))
            (cwd / "t").mkdir(parents=True)
            forked.aside(partial(case.prepare, cwd))

            def first(case: Case = case) -> None:
                arrange(case)
                sys.meta_path.insert(0, Noting(noted))

            for command in (*case.before, case.command):
                forked.run(command, cwd, first=first)
        names = dict.fromkeys(noted.read_text().split()) if noted.exists() else {}
    forked.import_all(name for name in names if not name.startswith(ROOMS))
    for room, registry in _registries().items():
        if any(name.startswith(room) for name in names):
            registry.names()
    gc.freeze()  # or every fork copies the memory of all objects as it ends


def _registries() -> dict[str, Any]:
    """Return registries by the package that they import."""
    from bench import plugins
    from bench.plugins.recipe import recipes

    rooms = {f"bench.{name}": getattr(plugins, name) for name in PLUGINS if name != "recipes"}
    return {**rooms, "bench.recipes": recipes, "models": plugins.models}
