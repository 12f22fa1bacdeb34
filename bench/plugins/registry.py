"""The names that a user may type, and the plug-in files that register them.

Every plug-in is one file in the folder of its kind (`models/`, `plots/`, `bench/metrics/` and so
on), its room. A registry imports all files of its room when it is first asked, so adding a file is
all it takes. Files whose names start with an underscore are helpers. Other packages add plug-ins
through entry-point groups: `convmixer_bench.models`, `convmixer_bench.metrics` and so on.

A plug-in that cannot be imported is never skipped: its error ends the command.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Generic, Protocol, TypeVar

from bench.errors import UsageError, with_place
from bench.files import system_limits

ROOT = Path(__file__).resolve().parents[2]
SEPARATORS = re.compile(r"[,@\s]")
"""Characters that cannot be part of a listed name: flags take lists, and NAME@TAG."""


LONGEST_NAME = 5_000
"""The most characters of a name: a path may be long, and similar names are looked for."""


class Entry(Protocol):
    """An entry of a registry: anything with a name."""

    @property
    def name(self) -> str: ...


E = TypeVar("E", bound=Entry)


class Registry(Generic[E]):
    """The plug-ins of one kind, by name.

    `kind` is the word for it in messages ("model"), `room` the package whose files register
    entries, and `flag` the flag that an error about an unknown name begins with ("--models").
    """

    def __init__(self, kind: str, *, room: str, flag: str, plural: str | None = None) -> None:
        self.kind, self.room, self.flag, self.plural = kind, room, flag, plural or f"{kind}s"
        self._entries: dict[str, E] = {}
        self._origins: dict[str, str] = {}
        self._resolvers: list[Callable[[str], E | None]] = []
        self._suggesters: list[Callable[[str], str | None]] = []
        self._loaded = False
        self.typed: set[str] = set()
        """Names that the user typed. A resolver that runs code accepts no others, since a name may
        also come from a file."""

    def add(self, entry: E) -> E:
        """Register `entry` and return it.

        The same file may register a name twice: `models` and `plots` are imported under private
        names (see `import_room`), and a user's script may import the same file by its own name.

        Raises UsageError if another file has registered the name, or if no flag could give it.
        """
        origin = sys._getframe(1).f_code.co_filename
        if SEPARATORS.search(entry.name):
            raise UsageError(
                f"{origin}: a {self.kind} cannot be called {entry.name!r}: commas, spaces and @ "
                "have a meaning in flags"
            )
        if self._origins.setdefault(entry.name, origin) != origin:
            raise UsageError(
                f"{self.kind} {entry.name!r} is registered by {self._origins[entry.name]} "
                f"and by {origin}; rename one of the two"
            )
        self._entries[entry.name] = entry
        return entry

    def resolver(self, function: Callable[[str], E | None]) -> Callable[[str], E | None]:
        """Register a function for names that are spelled and not listed, such as `timm:<name>`.

        It returns the entry of a name, or None if the name is not one of its own.
        """
        self._resolvers.append(function)
        return function

    def suggester(self, function: Callable[[str], str | None]) -> Callable[[str], str | None]:
        """Register a function that knows names which are nearly right, such as one of timm's.

        It returns the name that would work in place of an unknown one, or None.
        """
        self._suggesters.append(function)
        return function

    def names(self) -> list[str]:
        """Return all listed names, in the order of files and of registration in each."""
        self._load()
        return list(self._entries)

    def entries(self) -> list[E]:
        """Return all listed entries, in the order of `names`."""
        self._load()
        return list(self._entries.values())

    def get(self, name: str) -> E:
        """Return the entry called `name`.

        Raises UsageError, with the most similar name, if there is none.
        """
        if len(name) > LONGEST_NAME:
            raise UsageError(
                f"{self.flag}: a {self.kind} is named by at most {LONGEST_NAME:,} characters, and "
                f"{name[:40]!r}... has {len(name):,}"
            )
        self._load()
        if name in self._entries:
            return self._entries[name]
        for resolve in self._resolvers:
            entry = resolve(name)
            if entry is not None:
                return entry
        raise UsageError(f"{self.flag}: no {self.kind} named {name!r}{self._hint(name)}")

    def origin(self, name: str) -> Path:
        """Return the file that registered `name`, or that of the function which resolves it."""
        self._load()
        if name in self._origins:
            return Path(self._origins[name])
        for resolve in self._resolvers:
            if resolve(name) is not None:
                return Path(resolve.__code__.co_filename)
        raise KeyError(name)

    def suggestion(self, name: str) -> str | None:
        """Return the name that was probably meant by an unknown one; None without a likely one."""
        self._load()
        for suggest in self._suggesters:
            likely = suggest(name)
            if likely is not None:
                return likely
        return next(iter(difflib.get_close_matches(name, self._entries, n=1, cutoff=0.5)), None)

    def _hint(self, name: str) -> str:
        likely = self.suggestion(name)
        listing = f"`bench list {self.plural}` shows all {len(self._entries)}"
        return f"; did you mean {likely}? ({listing})" if likely else f"; {listing}"

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
        """Import a plug-in.

        Raises UsageError, with the plug-in's error, if that fails or if it ends the program.
        """
        try:
            load()
        except UsageError:
            raise
        except SystemExit as end:
            raise UsageError(
                f"{what} is a plug-in and called sys.exit({end.code!r}); remove that from it"
            ) from end
        except Exception as error:
            if line := system_limits.in_words(error):
                raise UsageError(line) from error
            raise UsageError(f"{what} cannot be imported: {with_place(error)}") from error


def import_room(room: str) -> ModuleType:
    """Import and return the package of a room.

    Many projects have packages called `models` and `plots`. Ours are loaded from the folder that
    contains `bench`, as `convmixer_bench_models` and `convmixer_bench_plots`, so that neither ours
    nor those in the user's folder hide the others.

    Raises ImportError if the package is missing.
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
    """Yield the name and the file of every plug-in module in a package and its folders.

    Modules whose names begin with `_` are helpers and left out.
    """
    for module in pkgutil.walk_packages(package.__path__, prefix=f"{package.__name__}."):
        leaf = module.name.rpartition(".")[2]
        if not leaf.startswith("_") and not module.ispkg:
            inside = module.name.removeprefix(f"{package.__name__}.").replace(".", "/")
            yield module.name, f"{package.__path__[0]}/{inside}.py"
