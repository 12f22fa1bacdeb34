"""Every figure of a report, drawn and written; on several cores at once, since drawing is most of a report's time."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

from bench.analysis.rows import Summary
from bench.errors import visible
from bench.files.files import whole
from bench.files.paths import stems
from bench.plugins import Figure, figures

MOST_PROCESSES = 8
PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when its parent has ended."""


@contextlib.contextmanager
def names_are_text() -> Iterator[None]:
    """Names come from records: a dollar sign in one is a dollar sign, and a character without a glyph is shown as a box."""
    from matplotlib import rc_context

    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def drawings(entry: Figure, summary: Summary) -> dict[str, Any]:
    """The matplotlib figures of one plug-in by file stem; a single one is called what its plug-in is."""
    with names_are_text():
        drawn = entry.draw(summary)
    found = drawn if isinstance(drawn, dict) else {entry.name: drawn}
    return dict(zip(stems(found), found.values(), strict=True))


def save_figure(figure: Any, folder: Path, stem: str) -> list[Path]:
    """Write a matplotlib figure as PNG and SVG; without a date and with a fixed salt the same records give the same SVG."""
    from matplotlib import rc_context

    paths = [folder / f"{stem}{suffix}" for suffix in (".png", ".svg")]
    with names_are_text(), rc_context({"svg.hashsalt": stem}):
        _spell_out(figure)
        if figure.get_layout_engine() is not None:
            # Arranged once; matplotlib would do it twice for every file.
            figure.draw_without_rendering()
            figure.set_layout_engine(None)
        for path in paths:
            kind = path.suffix[1:]
            with whole(path) as temporary:
                figure.savefig(
                    temporary, format=kind, metadata={"Date": None} if kind == "svg" else {}
                )
    return paths


def _spell_out(figure: Any) -> None:
    """Control characters in texts and tick labels are spelled out: SVG files repeat each text as it is."""
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter

    for axes in figure.axes:
        for formatter in (axes.xaxis.get_major_formatter(), axes.yaxis.get_major_formatter()):
            if isinstance(formatter, FixedFormatter):
                formatter.seq = [visible(str(label)) for label in formatter.seq]
    for text in figure.findobj(Text):
        if (shown := visible(text.get_text())) != text.get_text():
            text.set_text(shown)


@dataclass(frozen=True)
class Job:
    """The figures of one machine and where they go; those of studies are given `everything`, with what studies measured."""

    folder: Path
    summary: Summary
    everything: Summary

    def draw(self, entry: Figure) -> list[Path]:
        """All figures of one plug-in, written."""
        drawn = drawings(entry, self.everything if entry.of_studies else self.summary)
        return [
            path
            for stem, figure in drawn.items()
            for path in save_figure(figure, self.folder, stem)
        ]


def draw_all(jobs: Sequence[Job]) -> list[list[Path]]:
    """The files of every job. One process per processor, forked so that nothing is imported or read again."""
    tasks = [(job, entry) for job in jobs for entry in figures.entries()]
    # The figures of studies are most of all: whoever draws them begins with them.
    order = sorted(range(len(tasks)), key=lambda place: (tasks[place][1].name != "studies", place))
    ordered = [tasks[place] for place in order]
    workers = (
        min(len(os.sched_getaffinity(0)), MOST_PROCESSES) if sys.platform == "linux" else 1
    )  # forking is not safe elsewhere
    found = (
        _spread(ordered, workers) if workers > 1 else [job.draw(entry) for job, entry in ordered]
    )
    written = dict(zip(order, found, strict=True))
    return [
        [path for place, (owner, _) in enumerate(tasks) if owner is job for path in written[place]]
        for job in jobs
    ]


_tasks: list[tuple[Job, Figure]] = []
"""What forked processes find instead of being sent it."""


def _spread(tasks: list[tuple[Job, Figure]], workers: int) -> list[list[Path]]:
    _tasks[:] = tasks
    before = set(active_children())
    try:
        with warnings.catch_warnings():
            # Python warns of every fork beside threads. The only ones here are NumPy's, which knows of forks.
            warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
            with ProcessPoolExecutor(
                workers,
                mp_context=get_context("fork"),
                initializer=_end_with_parent,
                initargs=(os.getpid(),),
            ) as pool:
                futures = [pool.submit(_draw_at, place) for place in range(len(tasks))]
                try:
                    return [future.result() for future in futures]
                except BaseException:
                    # Leaving the pool waits for its processes, and nobody wants the rest of the figures now. The futures
                    # are not cancelled: the pool's own thread fails over cancelled ones of processes that are gone.
                    for process in set(active_children()) - before:
                        process.kill()
                    raise
    finally:
        _tasks.clear()


def _end_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its parent ends, however that ends; Ctrl-C is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before it could be asked for
        os._exit(1)


def _draw_at(place: int) -> list[Path]:
    job, entry = _tasks[place]
    return job.draw(entry)
