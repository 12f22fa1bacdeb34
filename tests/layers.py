"""The table of wings, and a checker that compares a tree of files with it.

A wing is a folder of `bench/`, one of its single modules (`devices`, `errors`), or
`models` or `plots` next to it. Every import counts: relative, inside a function, under
TYPE_CHECKING, by `importlib.import_module("name")`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

WINGS = {
    "errors": "",
    "devices": "errors",
    "stats": "",
    "fused": "",
    "files": "errors",
    "config": "errors",
    "plugins": "errors",
    "record": "errors",
    "measure": "errors plugins record count",
    "count": "errors plugins record",
    "match": "errors plugins record stats measure count",
    "training": "errors plugins record measure count",
    "engines": "errors plugins record measure count training",
    "forecast": "errors config plugins record stats",
    "plan": "errors config plugins record stats measure count match training forecast",
    "run": "errors config plugins record stats measure forecast plan training claims",
    "check": "errors plugins record stats measure plan run analysis",
    "pick": "errors config plugins record stats forecast measure count training plan run analysis "
    "datasets",
    "analysis": "errors record stats forecast",
    "claims": "errors config plugins record stats analysis",
    "exchange": "errors record stats analysis",
    "ab": "errors config plugins record stats forecast measure report",
    "visit": "errors plugins record measure exchange",
    "report": "errors config plugins record stats forecast analysis claims",
    "metrics": "plugins record measure count training",
    "policies": "errors plugins measure fused engines",
    "datasets": "errors plugins training",
    "recipes": "plugins",
    "studies": "plugins stats claims",
    "launchers": "errors config plugins record measure plan run",
    "models": "errors plugins",
    "plots": "config plugins record stats analysis claims report studies",
}
"""The wings that each wing may import besides itself. All but `errors` may also import `COMMON`,
and `cli` may import all but `models` and `plots`."""
COMMON = {"devices", "files"}
"""These two import `errors` only."""
SINGLE_MODULES = {"devices", "errors"}
FREE_OF_TORCH = {
    "errors",
    "devices",
    "files",
    "config",
    "plugins",
    "record",
    "stats",
    "forecast",
    "analysis",
    "claims",
    "exchange",
    "report",
    "studies",
    "plots",
}
HEAVY = {"torch", "torchvision", "timm", "fvcore"}
UNNAMED = {"models", "plots"}
"""Loaded under private names (bench.registry.import_room): a user's folder may have packages of
these names, and an import by name would find those."""
ROOT_MODULES = {"__init__", "__main__"}
OUT_OF_PLACE: tuple[str, ...] = ()
"""Files in the folder of a wing to which they do not belong. They are of no wing until they move;
this should be empty then."""
MOST_FILES, MOST_FILES_OF_BENCH = 16, 6
ROOMS = {"metrics", "policies", "datasets", "recipes", "studies", "launchers"}
MOST_FILES_OF_ROOM = 32
"""A room of plug-ins grows by a file with each of them, and no other file may have to move then."""
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 400, 60


def allowed(wing: str) -> set[str]:
    """Return the wings that a wing may import, itself among them."""
    if wing == "cli":
        return {*WINGS, "cli"} - UNNAMED
    more = set() if wing in ("errors", *COMMON) else COMMON
    return {wing, *WINGS[wing].split(), *more}


def _most_files(folder: Path) -> int:
    """Return how many Python files a folder of `bench/` may hold directly."""
    if folder == Path("bench"):
        return MOST_FILES_OF_BENCH
    return MOST_FILES_OF_ROOM if folder.name in ROOMS else MOST_FILES


@dataclass(frozen=True)
class Import:
    """One imported name: `target` is dotted and absolute, `relative` says how it was spelled."""

    target: str
    line: int
    relative: bool = False


def imports(source: str, package: str) -> Iterator[Import]:
    """Yield every import, at any place, of a module that lies in `package` (dotted)."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, package)
            yield from (
                Import(f"{base}.{alias.name}", node.lineno, node.level > 0) for alias in node.names
            )
        elif isinstance(node, ast.Call) and (name := _imported_by_string(node)):
            yield Import(name, node.lineno)


def _base(node: ast.ImportFrom, package: str) -> str:
    """Return the module of an import's names: bench.a for `from ..a import b` in bench.x."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _imported_by_string(node: ast.Call) -> str | None:
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name not in ("import_module", "__import__") or not node.args:
        return None
    first = node.args[0]
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


@dataclass(frozen=True)
class Tree:
    """The files of `bench`, `models` and `plots` below a folder."""

    root: Path

    @cached_property
    def files(self) -> list[Path]:
        """Every Python file, relative to the root."""
        folders = ("bench", *sorted(UNNAMED))
        return [
            path.relative_to(self.root)
            for folder in folders
            for path in sorted((self.root / folder).rglob("*.py"))
        ]

    @cached_property
    def unplaced(self) -> list[Path]:
        """Files that are of no wing yet."""
        return [file for file in self.files if self.wing(file) is None]

    @cached_property
    def imports(self) -> dict[Path, list[Import]]:
        """What every file imports."""
        return {file: list(imports(self._text(file), _package(file))) for file in self.files}

    @cached_property
    def edges(self) -> dict[Path, list[tuple[Import, Path]]]:
        """What every file imports of ours, with the file that it comes from."""
        found: dict[Path, list[tuple[Import, Path]]] = {}
        for file, imported in self.imports.items():
            resolved = [(one, self._file(one.target)) for one in imported]
            found[file] = [
                (one, target) for one, target in resolved if target is not None and target != file
            ]
        return found

    def wing(self, file: Path) -> str | None:
        """Return the wing of a file; "bench" for the package itself, None outside of any wing."""
        if file.as_posix().startswith(OUT_OF_PLACE):
            return None
        folder, *rest = file.parts
        if folder in UNNAMED:
            return folder
        if len(rest) == 1:
            if file.stem in ROOT_MODULES:
                return "bench"
            return file.stem if file.stem in SINGLE_MODULES else None
        return rest[0] if rest[0] in WINGS or rest[0] == "cli" else None

    def against_the_table(self) -> list[str]:
        """Every import of a wing that the importing one may not import."""
        found = []
        for file, edges in self.edges.items():
            wing = self.wing(file)
            if wing is None or wing == "bench":
                continue
            for one, target in edges:
                other = self.wing(target)
                if other is not None and other not in allowed(wing):
                    found.append(f"{file}:{one.line}: {wing} may not import {other} ({one.target})")
        return found

    def heavy(self) -> list[str]:
        """Every import of torch and the like in a wing that has to do without."""
        found = []
        for file, imported in self.imports.items():
            if self.wing(file) in FREE_OF_TORCH:
                heavy = [one for one in imported if one.target.partition(".")[0] in HEAVY]
                found += [
                    f"{file}:{one.line}: {self.wing(file)} is free of "
                    f"{one.target.partition('.')[0]}"
                    for one in heavy
                ]
        return found

    def by_name(self) -> list[str]:
        """Every import of `models` or `plots` by name, which may be a user's."""
        found = []
        for file, imported in self.imports.items():
            if self.wing(file) is not None:
                named = [
                    one
                    for one in imported
                    if not one.relative and one.target.partition(".")[0] in UNNAMED
                ]
                found += [f"{file}:{one.line}: imports {one.target} by name" for one in named]
        return found

    def file_circle(self) -> list[str]:
        """A circle of files that import each other; empty where there is none."""
        held = [file for file in self.files if self.wing(file) is not None]
        return circle(
            {
                str(file): {str(target) for _, target in self.edges[file] if target in held}
                for file in held
            }
        )

    def wing_circle(self) -> list[str]:
        """A circle of wings that import each other; empty where there is none."""
        graph: dict[str, set[str]] = {}
        for file, edges in self.edges.items():
            if (wing := self.wing(file)) is not None:
                graph.setdefault(wing, set()).update(
                    other for _, target in edges if (other := self.wing(target)) not in (None, wing)
                )
        return circle(graph)

    def crowded(self) -> list[str]:
        """Folders of `bench/` that hold too many Python files directly."""
        found = []
        for folder in sorted({file.parent for file in self.files if file.parts[0] == "bench"}):
            number = sum(file.parent == folder for file in self.files)
            if number > (most := _most_files(folder)):
                found.append(f"{folder}: {number} files, at most {most}")
        return found

    def long_files(self) -> list[str]:
        """Files with too many lines."""
        lengths = {file: len(self._text(file).splitlines()) for file in self.files}
        return [
            f"{file}: {lines} lines, at most {MOST_LINES}"
            for file, lines in lengths.items()
            if lines > MOST_LINES
        ]

    def long_functions(self) -> list[str]:
        """Functions with too many lines, from `def` to the last one.

        Not kernels, whose language has neither arrays in registers nor loops over variables.
        """
        found = []
        for file in self.files:
            for node in ast.walk(ast.parse(self._text(file))):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    if "triton.jit" in map(ast.unparse, node.decorator_list):
                        continue
                    lines = (node.end_lineno or node.lineno) - node.lineno + 1
                    if lines > MOST_LINES_OF_A_FUNCTION:
                        found.append(
                            f"{file}:{node.lineno}: {node.name} has {lines} lines, "
                            f"at most {MOST_LINES_OF_A_FUNCTION}"
                        )
        return found

    def _text(self, file: Path) -> str:
        return (self.root / file).read_text(encoding="utf-8")

    def _file(self, target: str) -> Path | None:
        """Return the file that a dotted name comes from: the module's own, or its definer's."""
        parts = target.split(".")
        if parts[0] not in ("bench", *UNNAMED):
            return None
        for length in range(len(parts), 0, -1):
            place = Path(*parts[:length])
            for file in (place.with_suffix(".py"), place / "__init__.py"):
                if file in self._known:
                    return file
        return None

    @cached_property
    def _known(self) -> set[Path]:
        return set(self.files)


def _package(file: Path) -> str:
    return ".".join(file.parent.parts)


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return a circle of a graph, its first node again at the end; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        nodes: list[str] = error.args[1]
        return nodes
    return []
