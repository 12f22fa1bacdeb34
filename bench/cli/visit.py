"""`bench visit` and `bench unpack`: a few minutes on somebody else's machine, and what they brought home."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bench.cli import terminal
from bench.cli.console import Terminal, print_tables
from bench.config import COMMAND, Names, RunConfig
from bench.errors import UsageError, visible
from bench.exchange.unpack import unpack as unpacked
from bench.measure import interrupts
from bench.report.table import Table
from bench.visit.journal import Folder, last
from bench.visit.parcel import parcel
from bench.visit.queue import KEPT_S, Queue, planned
from bench.visit.step import Step
from bench.visit.steps import chosen, steps_for, stretched

BEGAN = time.monotonic()
PROBE = "import torch; print('cuda:0' if torch.cuda.is_available() else 'cpu')"
PROBE_S = 120.0
"""Seconds that importing PyTorch may take on a cold disk."""


def visit(
    *,
    minutes: float = 9.0,
    data: str | None = None,
    out: Path = Path("visit.zip"),
    steps: Names = (),
    device: str = "auto",
    tests: Annotated[bool, Parameter(negative=())] = False,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Spend some minutes on this machine as well as they can be spent, and pack what was measured into one file.

    A step that fails, hangs or fills the memory is ended, and the next one begins. The same command goes on where it was.

    Parameters
    ----------
    minutes
        How long it may take, packing included; 0 packs what an earlier visit left in its folder.
    data
        Images to train on, cifar10:/path.
    out
        The pack to write. Records and logs are kept in a folder beside it, visit/ for visit.zip.
    steps
        Only these steps, comma separated, in this order; --dry-run shows their names.
    device
        auto, cpu, cuda or cuda:N.
    tests
        Run the tests that need a GPU first, in a checkout.
    dry_run
        Show the steps, and take none.
    """
    if not 0 <= minutes <= 24 * 60:
        raise UsageError(f"--minutes: must be from 0 to 1440, got {minutes:g}; 9 is usual")
    folder = _folder(out)
    asked = RunConfig(device=device).device
    taken = chosen(steps_for(_resolved(asked), data, tests=tests), steps) if minutes else []
    seconds = 60 * minutes - (time.monotonic() - BEGAN)
    taken = stretched(taken, seconds - KEPT_S)
    _show(taken, minutes, seconds, out)
    if dry_run:
        return 0
    folder.make()
    queue = Queue(taken, folder, seconds, tell=_say, after=lambda: _keep(folder, out))
    interrupted = False
    try:
        queue.run()
    except KeyboardInterrupt:
        interrupts.deaf()  # what is left takes a second
        interrupted = True
    packed = _pack(folder, out)
    return 130 if interrupted else 0 if packed else 1


def _keep(folder: Folder, out: Path) -> None:
    """Pack what there is by now, in case that this process is killed; what is wrong with it is said at the end."""
    with suppress(UsageError):
        parcel(folder.path, out)


def _folder(out: Path) -> Folder:
    """The folder of a visit that is packed into `out`."""
    if out.suffix != ".zip" or not out.stem:
        raise UsageError(f"--out: {out} is to be a zip file, such as visit.zip")
    return Folder(out.with_suffix(""))


def _resolved(device: str) -> str:
    """The device that is meant; asked in another process, because a broken driver may hang or crash it."""
    if device != "auto":
        return f"{device}:0" if device == "cuda" else device
    try:
        ended = subprocess.run(
            [sys.executable, "-c", PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROBE_S,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"--device: PyTorch says nothing of a GPU within {PROBE_S:.0f} s; --device cpu does without"
        ) from None
    if ended.returncode:
        lines = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
        raise UsageError(f"--device: PyTorch cannot be imported here ({lines[-1][:200]})")
    return ended.stdout.split()[-1]


def _show(steps: list[Step], minutes: float, seconds: float, out: Path) -> None:
    """What is going to happen, before any of it does."""
    if not steps:
        return
    lines, width = [], max(len(step.name) for step in steps)
    for step, given in planned(steps, seconds):
        most = f"{given / 60:.1f}" if given else "skipped" if step.lacks() else "if time is left"
        lines.append([f"{step.name:<{width}}  {step.lacks() or step.why}", most])
    notes = [
        f"at most {minutes:g} minutes in all; a step that ends early leaves its time to the next ones",
        f"Ctrl-C ends it at once and packs what is there: {out}",
    ]
    console = Terminal() if sys.stdout.isatty() else Terminal(width=160)
    print_tables(console, [Table("A visit", ["step", "minutes, at most"], lines, notes)])
    _say("")


def _pack(folder: Folder, out: Path) -> bool:
    """Write the packs and say so; False if there is nothing to pack."""
    entries = last(folder.entries())
    outcomes = [entry.outcome for entry in entries.values()]
    _say("\n" + ", ".join(f"{outcomes.count(name)} {name}" for name in dict.fromkeys(outcomes)))
    packed = parcel(folder.path, out)
    if packed is None:
        _complain(f"nothing to pack: no step wrote a record; the logs are in {folder.logs}")
        return False
    for error in packed.damaged:
        _complain(str(error))
    if packed.left_out:
        _complain(
            f"{len(packed.left_out)} files are in no pack, which may have 15 MB each, and stay in "
            f"{folder.path}: {', '.join(packed.left_out[:20])}"
        )
    names = " ".join(map(str, packed.paths))
    _say(f"{packed.files} files in {names}; at home: {COMMAND} unpack {names}")
    return True


def unpack(*files: Path, results: Path = Path("results")) -> int:
    """Lay the records of a pack into a results folder, after checking them as `verify` does; overwrites nothing.

    Parameters
    ----------
    files
        What `bench visit` or `bench pack` wrote; of a visit in several parts, all of them.
    results
        Folder with one folder per machine in it.
    """
    if not files:
        raise UsageError("unpack: which file? such as visit.zip")
    for file in files:
        found = unpacked(file, results)
        for doubt in found.checked.doubts:
            _complain(f"{file}: {doubt}; reports grade these records")
        there = found.checked.files - len(found.written)
        _say(
            f"{file}: {len(found.written)} files of {', '.join(found.checked.machines)} laid into {results}"
            + (f", {there} were there already" if there else "")
        )
    _say(f"next: {COMMAND} report --results {results}")
    return 0


def _say(text: str) -> None:
    """One line or several. A visit goes on where nobody reads them any more."""
    try:
        print(visible(text), flush=True)
    except OSError:
        terminal.flush()  # lets go of the stream that takes nothing


def _complain(text: str) -> None:
    try:
        print(f"bench: {visible(' '.join(text.split()))}", file=sys.stderr, flush=True)
    except OSError:
        terminal.flush()
