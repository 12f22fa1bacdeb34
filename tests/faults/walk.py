"""Every fault of a command, and what has to be true after each."""

from __future__ import annotations

import errno
import json
import math
import os
import random
import re
import shutil
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from bench.files import files as product_files
from bench.record import store
from tests.faults import forked, memory
from tests.faults.cases import Case, arrange, finished
from tests.faults.plants import PLANTS
from tests.faults.shim import KILLED, ROLES, SHORT, Fault, Shim

KINDS = {
    "ENOSPC": errno.ENOSPC,
    "EIO": errno.EIO,
    "EACCES": errno.EACCES,
    "EMFILE": errno.EMFILE,
    "ENOMEM": errno.ENOMEM,
    "short write": SHORT,
    "kill": KILLED,
}
REMOVALS = ("unlink", "unlinkat", "rmdir", "opendir", "open", "lstat64", "fstatat64", "stat64")
"""Calls of a removal: one that fails leaves its file to the next command."""
T = TypeVar("T")
PIPE_CLOSED = 141
AGE_S = 7200.0


@dataclass
class Walked:
    """What came of the faults of one command."""

    name: str
    calls: list[int] = field(default_factory=list)
    possible: int = 0
    """Faults that there are: calls times kinds."""
    faults: int = 0
    missed: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    states: set[tuple[str, ...]] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    slowest: float = 0.0


class Walk:
    """All faults of one command, `every` n-th of them from `start` on."""

    def __init__(self, shim: Shim, case: Case, place: Path, plant: str | None = None) -> None:
        self.shim, self.case, self.place, self.plant = shim, case, place, plant
        self.walked = Walked(case.name)
        self.template = place / "template"
        self.root = place / "root"

    def prepare(self) -> list[list[str]]:
        """Make what the command starts from; return its calls, by role."""
        (self.template / "t").mkdir(parents=True)
        forked.aside(lambda: self.case.prepare(self.template))
        for command in self.case.before:
            ended = self._run(command, self.template)
            if ended.code != 0:
                sys.exit(f"{command}: {ended}")
        self._renew()
        ended = self._run(self.case.command, self.root, counted=True)
        calls = self.shim.calls()
        problems = finished(self.root, self.case)
        if ended.err or problems or self.case.done not in (ended.code, -1) or ended.left:
            sys.exit(f"{self.case.name} without faults: {problems} {ended}")
        self.walked.calls = list(map(len, calls))
        return calls

    def go(
        self,
        kinds: Sequence[str],
        calls: Sequence[str] = (),
        every: int = 1,
        start: int = 0,
        seconds: float = math.inf,
    ) -> Iterator[str]:
        """Try the faults of these calls (all unless named), and yield what is broken.

        Those that are tried within `seconds` are spread over the whole command.
        """
        made, faults = self.prepare(), list[tuple[Fault, str]]()
        for role in self.case.roles:
            for at, call in enumerate(made[role]):
                if calls and call.lstrip("+").split(" ")[0] not in calls:
                    continue
                for kind in kinds:
                    if kind != "short write" or call.startswith("+"):
                        faults.append((Fault(role, at, KINDS[kind]), kind))
        self.walked.possible += len(faults)
        for fault, kind in within(seconds, faults[start::every]):
            yield from self._tried(fault, kind)

    def without_memory(self, every: int = 1, seconds: float = math.inf) -> Iterator[str]:
        """Let the first call of each of the program's functions raise MemoryError."""
        noted = self.place / "functions"
        self._renew()
        forked.run(
            self.case.command, self.root, first=lambda: self._first(lambda: memory.note(noted))
        )
        # Nothing of ours is around the call of the first one.
        names = [name for name in noted.read_text().splitlines() if not name.endswith(":script")]
        self.walked.calls.append(len(names))
        self.walked.possible += len(names)
        for name in within(seconds, names[::every]):
            yield from self._tried_without_memory(name)

    def _tried_without_memory(self, name: str) -> Iterator[str]:
        self._renew()
        before = records(self.root)
        ended = forked.run(
            self.case.command, self.root, first=lambda: self._first(lambda: memory.refuse(name))
        )
        fault = Fault(0, 0, errno.ENOMEM)
        yield from self._judged(f"MemoryError in {name}", "MemoryError", fault, name, before, ended)

    def _tried(self, fault: Fault, kind: str) -> Iterator[str]:
        self._renew()
        before = records(self.root)
        ended = self._run(self.case.command, self.root, fault=fault)
        if not self.shim.fired:  # this repetition made fewer calls
            self.walked.missed += 1
            if ended.code != self.case.done and self.case.done != -1:
                yield f"{self.case.name}: no fault, and {ended}"
            return
        what = f"{kind} at call {fault.at} of {ROLES[fault.role]} ({self.shim.what})"
        yield from self._judged(what, kind, fault, self.shim.what, before, ended)

    def _judged(
        self,
        what: str,
        kind: str,
        fault: Fault,
        call: str,
        before: dict[Path, bytes],
        ended: forked.Ended,
    ) -> Iterator[str]:
        self.walked.faults += 1
        self.walked.kinds[kind] += 1
        self.walked.codes[str(ended.code)] += 1
        self.walked.slowest = max(self.walked.slowest, ended.seconds)
        for problem in self._problems(fault, call, before, ended):
            text = f"{self.case.name}: {what}: {problem}"
            self.walked.broken.append(text)
            yield text

    def _problems(
        self, fault: Fault, call: str, before: dict[Path, bytes], ended: forked.Ended
    ) -> Iterator[str]:
        yield from self._said(fault, call, ended)
        yield from damaged(before, records(self.root))
        yield from (f"half a file: {path}" for path in half_files(self.root))
        killed = fault.kind == KILLED
        name = call.lstrip("+").split(" ")[0]
        if not killed and name not in REMOVALS:
            yield from (f"left {path}" for path in temporary_files(self.root))
        state = skeleton(self.root)
        if state not in self.walked.states:
            self.walked.states.add(state)
            kept = call.partition(" ")[2].lstrip("/") if name in REMOVALS else ""
            yield from self._goes_on(kept)

    def _said(self, fault: Fault, call: str, ended: forked.Ended) -> Iterator[str]:
        """What is wrong with how a command ended."""
        said = ended.out + ended.err
        if ended.code is None:
            yield f"it hung; {said[-300:]!r}"
        if ended.left:
            yield f"still there: {ended.left}"
        if "Traceback" in said or "Exception ignored" in said or "Error in " in said:
            yield f"traceback, exit code {ended.code}: {said[-700:]}"
            return
        if fault.kind == KILLED and fault.role == 0:
            if ended.code != -9:
                yield f"exit code {ended.code}"
            return
        lines = ended.err.splitlines()
        if any(not line.startswith("bench: ") for line in lines):
            yield f"standard error: {ended.err[-500:]!r}"
        if ended.code == self.case.done or (self.case.done == -1 and ended.code in (0, 1)):
            yield from finished(self.root, self.case)
        elif ended.code in (0, 1, 2):
            if ended.code == 2 and len(lines) != 1:
                yield f"exit code 2 with {len(lines)} lines: {ended.err[-500:]!r}"
            if ended.code == 1 and not lines and not re.search("fail|refused", ended.out):
                yield f"exit code 1 without a word: {ended.out[-300:]!r}"
        elif not (ended.code == PIPE_CLOSED and call == "+write"):
            yield f"exit code {ended.code}: {said[-300:]!r}"

    def _goes_on(self, kept: str) -> Iterator[str]:
        """What is wrong with the same command, run again, and with a pack of its results.

        `kept` is the file whose removal failed: Python's own probe of TMPDIR stays there for good.
        """
        for path in self.root.rglob(".*.tmp"):
            os.utime(path, (time.time() - AGE_S,) * 2)
        had = records(self.root)
        again = self._run(self.case.command, self.root)
        if (again.code != self.case.done and self.case.done != -1) or "Traceback" in again.err:
            yield f"the next command: exit code {again.code}, {(again.out[-300:] + again.err)!r}"
            return
        yield from (f"after the next command: {text}" for text in finished(self.root, self.case))
        yield from damaged(had, records(self.root))
        left = [path for path in temporary_files(self.root) if path != kept]
        yield from (f"the next command left {path}" for path in left)
        if self.case.packed and list(self.root.glob("r/*/records/*.jsonl")):
            for command in (("pack", "after.zip", "--results", "r"), ("verify", "after.zip")):
                packed = self._run(command, self.root)
                doubted = packed.code == 1 and "Traceback" not in packed.err
                if packed.code and not (command[0] == "verify" and doubted and _of_machine(packed)):
                    yield f"{command[0]} afterwards: exit code {packed.code}, {packed.err!r}"

    def _run(
        self,
        command: Sequence[str],
        cwd: Path,
        fault: Fault | None = None,
        counted: bool = False,
    ) -> forked.Ended:
        shim = self.shim if counted or fault is not None else None
        return forked.run(command, cwd, shim, fault, self._first)

    def _first(self, then: Callable[[], object] = lambda: None) -> None:
        arrange(self.case)
        if self.plant is not None:
            PLANTS[self.plant]()
        then()

    def _renew(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self.template, self.root)


def within(seconds: float, things: Sequence[T]) -> Iterator[T]:
    """Yield things until the time is over; in a random order, unless it is unlimited."""
    until = time.monotonic() + seconds
    if math.isfinite(seconds):
        things = random.Random(0).sample(things, len(things))
    for thing in things:
        if time.monotonic() > until:
            return
        yield thing


def _of_machine(packed: forked.Ended) -> bool:
    """True if a pack is refused only because the machine was not steady, in so short a run."""
    reasons = packed.err.splitlines()[:-1]
    return all(re.search("A/A|drift|canary", line) for line in reasons)


def records(root: Path) -> dict[Path, bytes]:
    """The content of every record."""
    return {path: path.read_bytes() for path in sorted(root.glob("*/*/records/*.jsonl"))}


def damaged(before: dict[Path, bytes], after: dict[Path, bytes]) -> Iterator[str]:
    """What is wrong with records, given what they were."""
    for path, content in before.items():
        whole = content[: content.rfind(b"\n") + 1]
        if not after.get(path, b"").startswith(whole):
            yield f"{path.name} lost lines"
    for path, content in after.items():
        lines = [line for line in content.splitlines() if not line.endswith(store.VOID)]
        if len(set(lines)) < len(lines):
            yield f"{path.name} has a line twice"
        try:
            store.load(path)
        except store.DamagedRecord as error:
            yield f"{path.name} cannot be read: {error}"


def half_files(root: Path) -> Iterator[str]:
    """Files under their final names that are not complete."""
    for path in root.rglob("*.*"):
        if path.suffix not in (".zip", ".npz", ".safetensors", ".png", ".html"):
            continue
        content = path.read_bytes()
        if path.suffix == ".safetensors":
            header = int.from_bytes(content[:8], "little")
            tensors = json.loads(content[8 : 8 + header]) if len(content) > 8 + header else {}
            ends = [tensor["data_offsets"][1] for tensor in tensors.values() if "dtype" in tensor]
            complete = bool(ends) and len(content) == 8 + header + max(ends)
        elif path.suffix == ".png":
            complete = b"IEND" in content[-12:]
        elif path.suffix == ".html":
            complete = content.rstrip().endswith(b"</html>")
        else:
            complete = zipfile.is_zipfile(path)
        if not complete:
            yield path.relative_to(root).as_posix()


def temporary_files(root: Path) -> list[str]:
    """Files and folders that are none of the results."""
    found = [*root.rglob(".*.tmp"), *root.rglob(".probe-*"), *(root / "t").iterdir()]
    return [path.relative_to(root).as_posix() for path in found]


def skeleton(root: Path) -> tuple[str, ...]:
    """What a folder holds, without times and random names: states that are alike are tried once."""
    found = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if name.startswith("images/"):
            continue
        name = re.sub(r"[0-9a-f]{8,}|nch-\w{8}|pymp-\w{8}|listener-\w+", "#", name)
        if path.suffix == ".jsonl" and path.is_file():
            name += " " + "".join(map(_kind_of, path.read_bytes().split(b"\n")))
        elif path.is_file():
            size = path.stat().st_size
            name += " empty" if not size else ""
        found.append(name)
    return tuple(sorted(found))


def _kind_of(line: bytes) -> str:
    """A letter per line of a record."""
    if not line:
        return "."
    try:
        stored = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return "v" if line.endswith(store.VOID) else "t"
    kind = str(stored.get("kind", stored.get("type", stored.get("event", "?"))))
    return kind[0] + str(stored.get("status", ""))[:1]


assert product_files.LEFT_BEHIND < AGE_S
