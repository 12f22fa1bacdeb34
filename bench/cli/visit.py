"""`bench visit` and `bench unpack`: measure on a rented machine, and bring the records home."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bench.cli import BEGAN, terminal
from bench.cli.console import Terminal, counted, print_tables, print_words
from bench.cli.options import DeviceFlag, ResultsFlag
from bench.cli.packs.keys import KeyFlag, expected
from bench.config import COMMAND, MINUTES, Names, RunConfig, Switch
from bench.errors import UsageError
from bench.exchange import unpack as unpacking
from bench.exchange.parts import Packed
from bench.measure import interrupts
from bench.report.table import Table
from bench.visit.journal import Folder, last
from bench.visit.parcel import LARGEST, MOST, parcel
from bench.visit.queue import KEPT_S, Queue, planned
from bench.visit.step import Step
from bench.visit.steps import chosen, steps_for, stretched

LONGEST_MINUTES = 24 * 60
PROBE = "import torch; print('cuda:0' if torch.cuda.is_available() else 'cpu')"
PROBE_S = 120.0
"""Seconds that importing PyTorch may take from a cold disk."""
MOST_NAMES = 20
"""Files that are named if they are in no pack."""


def visit(
    *,
    minutes: Annotated[float, MINUTES] = 9.0,
    data: str | None = None,
    out: Path = Path("visit.zip"),
    steps: Names = (),
    device: Annotated[DeviceFlag, Parameter(help="auto, cpu, cuda or cuda:N.")] = "auto",
    tests: Switch = False,
    dry_run: Switch = False,
) -> int:
    """Measure the most valuable within minutes, into one file.

    A step that fails, hangs or fills the memory is ended, and the next one begins. Rerun the same
    command to continue.

    Parameters
    ----------
    minutes
        How long the visit may take, packing included, in minutes, or such as 1h; 0 packs what an
        earlier visit left in its folder.
    data
        Images to train on, cifar10:/path.
    out
        The pack to write. Records and logs are kept in a folder next to it, visit/ for visit.zip.
    steps
        Only these steps, comma separated, in this order; --dry-run shows their names.
    tests
        First run the tests that need a GPU; needs a checkout.
    dry_run
        Show the steps, and take none.
    """
    if not 0 <= minutes <= LONGEST_MINUTES:
        raise UsageError(
            f"--minutes: must be from 0 to {LONGEST_MINUTES}, got {minutes:g}; 9 is usual"
        )
    folder = _folder(out)
    asked = RunConfig(device=device).device
    queued = chosen(steps_for(_resolved(asked), data, tests=tests), steps) if minutes else []
    seconds = 60 * minutes - (time.monotonic() - BEGAN)
    queued = stretched(queued, seconds - KEPT_S)
    console = Terminal.on_stdout()
    if queued:
        _print_plan(console, queued, minutes, seconds, out)
    if dry_run:
        return 0
    folder.make()
    queue = Queue(
        queued, folder, seconds, tell=partial(_tell, console), after=lambda: _save(folder, out)
    )
    return _take(queue, console, out)


def _take(queue: Queue, console: Terminal, out: Path) -> int:
    """Take the steps, pack the records, and return the exit code."""
    interrupted = False
    try:
        queue.run()
    except KeyboardInterrupt:
        interrupts.deaf()  # packing takes a second
        interrupted = True
    packed = _pack(console, queue.folder, out)
    if interrupted:
        return 130
    return 0 if packed else 1


def _save(folder: Folder, out: Path) -> None:
    """Pack the records so far, in case this process is killed; errors are reported at the end."""
    with suppress(UsageError):
        parcel(folder.path, out)


def _folder(out: Path) -> Folder:
    """Return the folder of the visit that is packed into `out`.

    Raises UsageError if `out` does not name a zip file.
    """
    if out.suffix != ".zip" or not out.stem:
        raise UsageError(f"--out: must name a zip file, such as visit.zip, got {out}")
    return Folder(out.with_suffix(""))


def _resolved(device: str) -> str:
    """Return the device that `auto` or `cuda` stands for.

    PyTorch is asked in another process, because a broken driver may hang or crash it.

    Raises UsageError if it cannot be imported or does not answer.
    """
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
            f"--device: PyTorch did not report within {PROBE_S:.0f} s whether there is a GPU; "
            "--device cpu works without one"
        ) from None
    if ended.returncode:
        lines = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
        raise UsageError(f"--device: PyTorch cannot be imported here ({lines[-1][:200]})")
    return ended.stdout.split()[-1]


def _print_plan(
    console: Terminal, steps: Sequence[Step], minutes: float, seconds: float, out: Path
) -> None:
    """Print the steps and their times, before any of them is taken."""
    rows = []
    for step, given in planned(steps, seconds):
        lacking = step.lacks()
        time_given = "if time is left"
        if given:
            time_given = f"{given / 60:.1f}"
        elif lacking:
            time_given = "skipped"
        rows.append([step.name, lacking or step.why, time_given])
    notes = [
        f"at most {minutes:g} minutes in total; time that a step leaves goes to the later ones",
        f"Ctrl-C stops the visit and packs the records so far: {out}",
    ]
    headers = ["step", "what for", "minutes, at most"]
    print_tables(console, [Table("Steps of the visit", headers, rows, notes)])
    console.print()


def _pack(console: Terminal, folder: Folder, out: Path) -> bool:
    """Write the packs and print their names; return False if there is nothing to pack."""
    outcomes = Counter(entry.outcome for entry in last(folder.entries()).values())
    _tell(console, "\n" + ", ".join(f"{number} {name}" for name, number in outcomes.items()))
    packed = parcel(folder.path, out)
    if packed is None:
        _complain(f"nothing to pack: no step wrote a record; the logs are in {folder.logs}")
        return False
    _complain_about_missing(packed, folder)
    names = " ".join(map(str, packed.paths))
    _tell(
        console,
        f"{counted(packed.files, 'file')} packed into {names}; at home: {COMMAND} unpack {names}",
    )
    return True


def _complain_about_missing(packed: Packed, folder: Folder) -> None:
    """Name the records and logs that are in no pack."""
    for error in packed.damaged:
        _complain(str(error))
    if packed.left_out:
        _complain(
            f"{counted(len(packed.left_out), 'file')} did not fit into {MOST} packs of "
            f"{LARGEST >> 20} MB, left in {folder.path}: {', '.join(packed.left_out[:MOST_NAMES])}"
        )


def unpack(*files: Path, results: ResultsFlag = Path("results"), key: KeyFlag = ()) -> int:
    """Check packs, and write their records into a results folder.

    Existing files are never overwritten.

    Parameters
    ----------
    files
        Files from `bench visit` or `bench pack`; if a visit wrote several, all of them.
    """
    if not files:
        raise UsageError("unpack: no file given; name one, such as visit.zip")
    console = Terminal.on_stdout()
    keys = expected(key)
    for file in files:
        unpacked = unpacking.unpack(file, results, keys)
        checked = unpacked.checked
        for doubt in checked.doubts:
            terminal.complain(f"{file}: {doubt}; reports grade these records accordingly")
        present = checked.files - len(unpacked.written)
        rest = f"; {present} existed already" if present else ""
        print_words(
            console,
            f"{file}: {counted(len(unpacked.written), 'file')} of {', '.join(checked.machines)} "
            f"written into {results}{rest}",
        )
        if checked.signature is not None and checked.signature.checked:
            print_words(console, f"signature checked: by key {checked.signature.fingerprint}")
    console.print_line(f"next: {COMMAND} report --results {results}")
    return 0


def _tell(console: Terminal, text: str) -> None:
    """Print text of one or more lines, even if nobody reads it."""
    with _even_if_unread():
        print_words(console, text)


def _complain(text: str) -> None:
    """Print one line on standard error, even if nobody reads it."""
    with _even_if_unread():
        terminal.complain(text)


@contextmanager
def _even_if_unread() -> Iterator[None]:
    """Continue after an error of a stream: a visit outlives the terminal that it was started in."""
    try:
        yield
    except OSError:
        terminal.flush()  # redirects the stream that failed to nowhere
