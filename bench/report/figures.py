"""Draw and write every figure of a report, on several cores: drawing takes most of its time."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import signal
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain, product, starmap
from multiprocessing import active_children, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from bench.analysis.rows import Summary
from bench.claims.rules import Verdict
from bench.errors import UsageError, visible, with_place
from bench.files import system_limits
from bench.files.files import discard_unfinished, whole
from bench.files.paths import stems
from bench.plugins import Figure, figures, studies

MOST_PROCESSES = 8
PR_SET_PDEATHSIG = 1
"""Option of prctl(2): the signal that a process gets when its parent ends."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ENDING_S = 5.0
"""Seconds that a drawing process may take to end."""


@contextlib.contextmanager
def names_are_text() -> Iterator[None]:
    """Show names from records as they are.

    A dollar sign opens no mathematics, and a character without a glyph is a box, without a warning.
    """
    from matplotlib import rc_context

    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def drawings(entry: Figure, drawn_from: Any) -> dict[str, Any]:
    """Return a plug-in's matplotlib figures by file stem; a single one has the plug-in's name.

    `drawn_from` is the summary of a machine, or what another registry of figures says.
    """
    with names_are_text():
        drawn = entry.draw(drawn_from)
    found = drawn if isinstance(drawn, dict) else {entry.name: drawn}
    return dict(zip(stems(found), found.values(), strict=True))


def study_name(verdict: Verdict) -> str:
    """Return the name of the figure of a study at a scale or on a machine, for `stems`."""
    return f"study_{verdict.study}_{verdict.key}"


def study_stem(verdict: Verdict) -> str:
    """Return the file stem of the figure of a study."""
    return stems([study_name(verdict)])[0]


def figure_names() -> list[str]:
    """Return what the file stems of a report's figures are or begin with, before a `_`."""
    begin = [entry.prefix for entry in figures.entries() if entry.name != "studies"]
    return [*figures.names(), *begin, *map("study_{}".format, studies.names())]


KINDS = ("png", "svg")
REPORTED = (*KINDS, "pdf")
"""The formats of a report's figures. PDF files are for papers and are not committed."""
_DATES = {"svg": "Date", "pdf": "CreationDate"}


def save_figure(figure: Any, folder: Path, stem: str, kinds: Sequence[str] = KINDS) -> list[Path]:
    """Write a matplotlib figure in several formats, and return the paths.

    Without dates and with a fixed salt, the same records give the same files. Text in a PDF is
    text, in fonts that journals take (TrueType).
    """
    from matplotlib import rc_context

    paths = [folder / f"{stem}.{kind}" for kind in kinds]
    with names_are_text(), rc_context({"svg.hashsalt": stem, "pdf.fonttype": 42}):
        _spell_out(figure)
        if figure.get_layout_engine() is not None:
            # Arrange it once; matplotlib would do so twice for every file.
            figure.draw_without_rendering()
            figure.set_layout_engine(None)
        for path in paths:
            kind = path.suffix[1:]
            metadata = {_DATES[kind]: None} if kind in _DATES else {}
            with whole(path) as temporary:
                figure.savefig(temporary, format=kind, metadata=metadata)
    return paths


def _spell_out(figure: Any) -> None:
    """Spell out control characters in texts and tick labels, since SVG files repeat the texts."""
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter

    for axes in figure.axes:
        for formatter in (axes.xaxis.get_major_formatter(), axes.yaxis.get_major_formatter()):
            if isinstance(formatter, FixedFormatter):
                formatter.seq = list(map(visible, map(str, formatter.seq)))
    for text in figure.findobj(Text):
        shown = visible(text.get_text())
        if shown != text.get_text():
            text.set_text(shown)


@dataclass(frozen=True)
class DrawingJob:
    """The figures of one machine and their folder.

    Figures of studies get `everything`, which includes what was measured for studies only.
    """

    folder: Path
    summary: Summary
    everything: Summary

    def draw(self, entry: Figure) -> list[Path]:
        """Draw and write all figures of one plug-in.

        Raises UsageError, with the plug-in's error, if its code fails.
        """
        summary = self.everything if entry.of_studies else self.summary
        try:
            drawn = drawings(entry, summary)
        except Exception as error:
            if line := system_limits.in_words(error):
                raise UsageError(line) from error
            raise UsageError(
                f"figure {entry.name} of {figures.origin(entry.name)} cannot be drawn: "
                f"{with_place(error)}"
            ) from error
        paths = []
        for stem, figure in drawn.items():
            paths += save_figure(figure, self.folder, stem, REPORTED)
        return paths


Task = tuple[DrawingJob, Figure]


def draw_all(jobs: Sequence[DrawingJob]) -> list[list[Path]]:
    """Draw and write the figures of every job, and return their files.

    On Linux there is one process per core, forked so that nothing is imported or read again.
    """
    tasks = list(product(jobs, figures.entries()))
    order = sorted(range(len(tasks)), key=lambda place: (_urgency(tasks[place]), place))
    written = dict(zip(order, _draw(tasks[place] for place in order), strict=True))
    paths: list[list[Path]] = []
    for job in jobs:
        mine = [written[place] for place, (owner, _) in enumerate(tasks) if owner is job]
        paths.append(list(chain.from_iterable(mine)))
    return paths


def _urgency(task: Task) -> int:
    """Study figures take longest, so start with them."""
    return 0 if task[1].name == "studies" else 1


def _draw(tasks: Iterable[Task]) -> list[list[Path]]:
    # Forking is not safe elsewhere.
    workers = min(len(os.sched_getaffinity(0)), MOST_PROCESSES) if sys.platform == "linux" else 1
    if workers > 1:
        return _spread(list(tasks), workers)
    return list(starmap(DrawingJob.draw, tasks))


ENDED = (
    "a process that draws figures ended, perhaps because memory ran out or the system refused it a "
    "call; free some memory and rerun"
)


_tasks: list[Task] = []
"""The tasks that forked processes inherit instead of receiving them."""


def _spread(tasks: list[Task], workers: int) -> list[list[Path]]:
    _tasks[:] = tasks
    before = set(active_children())
    try:
        with warnings.catch_warnings(), _in_one_line():
            # Python warns about every fork in a process with threads. The only threads here are
            # NumPy's, which can cope with forks.
            warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
            with ProcessPoolExecutor(
                workers,
                mp_context=get_context("fork"),
                initializer=_end_with_parent,
                initargs=(os.getpid(),),
            ) as pool:
                futures = _submitted(pool, len(tasks))
                try:
                    return [future.result() for future in futures]
                except BaseException:
                    # Leaving the pool waits for its processes, but the other figures are not needed
                    # any more. The futures are not cancelled: the pool's own thread fails over
                    # cancelled futures of processes that are gone.
                    _end(set(active_children()) - before)
                    raise
    finally:
        _tasks.clear()


@contextlib.contextmanager
def _in_one_line() -> Iterator[None]:
    """Raise UsageError instead of the errors of a pool whose process has ended."""
    from concurrent.futures.process import BrokenProcessPool

    try:
        yield
    except BrokenProcessPool:
        raise UsageError(ENDED) from None


def _submitted(pool: ProcessPoolExecutor, number: int) -> list[Future[list[Path]]]:
    """Submit all tasks, which forks the processes of the pool.

    Signals wait until each has handlers of its own: in those of its parent, Ctrl-C is a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        return [pool.submit(_draw_at, place) for place in range(number)]
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(processes: Iterable[BaseProcess]) -> None:
    """End drawing processes; each removes the files that it was writing."""
    processes = list(processes)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(ENDING_S)
        process.kill()


def _end_with_parent(parent: int) -> None:
    """Let the kernel end this process when its parent ends, and leave Ctrl-C to the parent."""
    sys.stderr = io.StringIO()  # the pool prints the traceback of a process that ends
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end_at_once)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    if os.getppid() != parent:  # the parent ended before the kernel was told
        os._exit(1)


def _end_at_once(*_: object) -> None:
    discard_unfinished()
    os._exit(1)


def _draw_at(place: int) -> list[Path]:
    job, entry = _tasks[place]
    return job.draw(entry)
