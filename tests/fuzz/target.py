"""What all targets share: readers, how their inputs are changed, and libFuzzer's options.

The first byte of an input names the reader, the rest is the file's content. Every case is judged as
in tests/readers.py: anything but a result or a refusal in one line ends the fuzzing with a
traceback, exit code 77, and the input in a file whose name is printed.
"""

from __future__ import annotations

import argparse
import gc
import random
import resource
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FunctionType
from typing import Any

CORPUS = Path(__file__).parent / "corpus"
LONGEST = 1 << 16
"""Bytes of an input, unless a target says otherwise: the largest sound one has about 30,000."""
STUCK_S, MEMORY_MB = 20, 6000
"""One input may take this long by the wall clock, and the process so much memory."""


class Failed(Exception):
    """A reader did something else than return or refuse."""


class Target:
    """Readers that are fuzzed together. `resealed` gives a changed record checksums that fit."""

    def __init__(self, names: Sequence[str], home: Path, *, sealed: bool) -> None:
        from tests import conftest, readers

        self.module, self.home = readers, home
        known = {one.name: one for one in readers.readers(home / "made")}
        self.readers = [known[name] for name in names]
        self.fits = conftest.resealed if sealed else None
        self.watch = readers.Watch()
        for number, reader in enumerate(self.readers):  # imports and caches are no input's doing
            folder = home / f"{number}"
            reader.read(readers.prepared(reader, folder, reader.content, reader.content))

    def sound(self) -> list[bytes]:
        """Return a sound input of every reader."""
        return [bytes([at]) + reader.content for at, reader in enumerate(self.readers)]

    def read(self, data: bytes) -> None:
        """Read one input. Raises Failed."""
        reader, content = self._parts(data)
        case = self.home / "case"
        wrong = self.module.one_case(reader, case, content, self.watch)
        shutil.rmtree(case)
        if wrong:
            raise Failed(f"{reader.name}: {wrong}")

    def change(self, data: bytes, most: int, seed: int, mutate: Any) -> bytes:
        """Return a changed input: half by libFuzzer, half by what fits the reader's format."""
        reader, content = self._parts(data)
        draw = random.Random(seed)
        changed = bytes(mutate(content, most - 1))
        if draw.random() < 0.5:
            try:
                changed = reader.change(content or reader.content, draw)
            except Exception:  # it takes sound formats, which this input no longer has
                changed = reader.change(reader.content, draw)
        elif self.fits is not None and draw.random() < 0.8:
            changed = self.fits(changed)
        return (data[:1] or b"\0") + changed[: most - 1]

    def _parts(self, data: bytes) -> tuple[Any, bytes]:
        return self.readers[(data or b"\0")[0] % len(self.readers)], data[1:]


def plug_ins() -> list[FunctionType]:
    """Return the functions of models, which are imported in a way that atheris does not see."""
    room = str(Path(__file__).parents[2] / "models")
    functions = [one for one in gc.get_objects() if isinstance(one, FunctionType)]
    return [one for one in functions if one.__code__.co_filename.startswith(room)]


def fuzz(about: str | None, *names: str, sealed: bool = False, longest: int = LONGEST) -> None:
    """Fuzz readers, by the options of the command line. Does not return."""
    import atheris

    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("--keep", type=Path, help="folder for inputs that reach new lines")
    parser.add_argument("--only", type=Path, help="an input that failed, to be read again")
    asked = parser.parse_args()
    corpus = CORPUS / Path(sys.argv[0]).stem
    home = Path(tempfile.mkdtemp(prefix="bench-fuzz-"))
    try:
        with atheris.instrument_imports(include=["bench"]):
            target = Target(names, home, sealed=sealed)
        for function in plug_ins():
            atheris.instrument_func(function)
        if asked.only:
            target.read(asked.only.read_bytes())
            return
        found = asked.keep or home / "found"
        found.mkdir(parents=True, exist_ok=True)
        start = home / "start"
        start.mkdir()
        for number, content in enumerate(target.sound()):
            (start / f"sound{number}").write_bytes(content)
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        most = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (size + (MEMORY_MB << 20), most))
        options = [
            f"-max_total_time={asked.seconds}",
            f"-seed={asked.seed}",
            f"-max_len={longest}",
            f"-timeout={STUCK_S}",
            f"-rss_limit_mb={MEMORY_MB}",
            "-print_final_stats=1",
        ]
        folders = [found, start, *([corpus] if corpus.is_dir() else [])]
        atheris.Setup(
            [sys.argv[0], *options, *map(str, folders)],
            target.read,
            custom_mutator=lambda data, most, seed: target.change(data, most, seed, atheris.Mutate),
        )
        atheris.Fuzz()
    finally:
        shutil.rmtree(home, ignore_errors=True)
