"""Names a user may type, and which files they come from.

Every plug-in is one file in the room of its kind (`models/`, `plots/`, `bench/metrics/` ...). A registry imports
all files of its room the first time it is asked, so adding a file is all it takes. Files whose name starts with
an underscore are helpers. Another package adds plug-ins through an entry-point group: `convmixer_bench.models`,
`convmixer_bench.metrics` and so on.

A plug-in that fails to import is never skipped: its own error stops the command.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Generic, Protocol, TypeVar

from bench.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]


class Entry(Protocol):
    """What a registry holds: anything with a name."""

    @property
    def name(self) -> str: ...


E = TypeVar("E", bound=Entry)


class Registry(Generic[E]):
    """The plug-ins of one kind, by name.

    `kind` is the word used in messages ("model"), `room` the package whose files register entries, `flag` what a
    message about an unknown name points at ("--models").
    """

    def __init__(self, kind: str, *, room: str, flag: str, plural: str | None = None) -> None:
        self.kind, self.room, self.flag, self.plural = kind, room, flag, plural or f"{kind}s"
        self._entries: dict[str, E] = {}
        self._origins: dict[str, str] = {}
        self._resolvers: list[Callable[[str], E | None]] = []
        self._loaded = False
        self.typed: set[str] = set()
        """Names that the user typed. A resolver that runs code serves these alone: a name may also come out of a file."""

    def add(self, entry: E) -> E:
        """Register `entry`; a name taken by another file is a ValueError.

        The same file may register twice: our top-level rooms are imported under a private name (see
        `import_room`), and somebody's script may import the file plainly as well.
        """
        origin = sys._getframe(1).f_code.co_filename
        if self._origins.setdefault(entry.name, origin) != origin:
            raise ValueError(
                f"{self.kind} {entry.name!r} is registered by {self._origins[entry.name]} and by {origin}"
            )
        self._entries[entry.name] = entry
        return entry

    def resolver(self, function: Callable[[str], E | None]) -> Callable[[str], E | None]:
        """Register `function(name) -> entry or None` for names that are spelled, not listed (`timm:<name>`)."""
        self._resolvers.append(function)
        return function

    def names(self) -> list[str]:
        """All listed names, in the order of their files and of registration inside a file."""
        self._load()
        return list(self._entries)

    def entries(self) -> list[E]:
        """All listed entries, in the order of `names`."""
        self._load()
        return list(self._entries.values())

    def get(self, name: str) -> E:
        """The entry called `name`; UsageError with what exists and what was probably meant otherwise."""
        self._load()
        if name in self._entries:
            return self._entries[name]
        for resolve in self._resolvers:
            if (entry := resolve(name)) is not None:
                return entry
        raise UsageError(f"{self.flag}: no {self.kind} named {name!r}{self._hint(name)}")

    def origin(self, name: str) -> Path:
        """The file that registered `name`, or the function that resolves it."""
        self._load()
        if name in self._origins:
            return Path(self._origins[name])
        resolver = next(resolve for resolve in self._resolvers if resolve(name) is not None)
        return Path(resolver.__code__.co_filename)

    def _hint(self, name: str) -> str:
        close = difflib.get_close_matches(name, self._entries, n=1, cutoff=0.5)
        listing = f"`bench list {self.plural}` shows all {len(self._entries)}"
        return f"; did you mean {close[0]}? ({listing})" if close else f"; {listing}"

    def _load(self) -> None:
        if self._loaded:
            return
        package = import_room(self.room)
        for name, path in sorted(modules_below(package)):
            self._import(path, partial(importlib.import_module, name))
        for point in importlib.metadata.entry_points(group=f"convmixer_bench.{self.plural}"):
            self._import(f"{point.value} (entry point {point.name})", point.load)
        self._loaded = True

    def _import(self, what: str, load: Callable[[], object]) -> None:
        """Import a plug-in. UsageError with its own error where that fails, or where it ends the program: that is no success."""
        try:
            load()
        except UsageError:
            raise
        except SystemExit as end:
            raise UsageError(
                f"{what} is a plug-in and called sys.exit({end.code!r}); take that out of it"
            ) from end
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            raise UsageError(
                f"{what} can't be imported: {type(error).__name__}: {error} ({frame.filename}, line {frame.lineno})"
            ) from error


def import_room(room: str) -> ModuleType:
    """Import the package of a room.

    `models` and `plots` are names that half the field's repositories also use. Ours are therefore taken from the
    folder that `bench` itself lies in and imported as `convmixer_bench_models`, so that neither a `models/` in
    the user's folder nor ours can hide the other.
    """
    if room.startswith("bench."):
        return importlib.import_module(room)
    alias = f"convmixer_bench_{room}"
    if alias in sys.modules:
        return sys.modules[alias]
    folder = ROOT / room
    spec = importlib.util.spec_from_file_location(
        alias, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None or not (folder / "__init__.py").exists():
        raise ImportError(
            f"{folder} is not a package: the installation of convmixer-bench is incomplete"
        )
    package = importlib.util.module_from_spec(spec)
    sys.modules[alias] = package
    spec.loader.exec_module(package)
    return package


def modules_below(package: ModuleType) -> Iterator[tuple[str, str]]:
    """Name and file of each plug-in module in a package and its folders, unless its name begins with `_`."""
    for module in pkgutil.walk_packages(package.__path__, prefix=f"{package.__name__}."):
        leaf = module.name.rpartition(".")[2]
        if not leaf.startswith("_") and not module.ispkg:
            inside = module.name.removeprefix(f"{package.__name__}.").replace(".", "/")
            yield module.name, f"{package.__path__[0]}/{inside}.py"
