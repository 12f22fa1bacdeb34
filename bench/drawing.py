"""Every figure of a report, drawn and written; on several cores at once, since drawing is most of a report's time."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench.plugins import Figure, figures
from bench.summary import Summary

MOST_PROCESSES = 8


def drawings(entry: Figure, summary: Summary) -> dict[str, Any]:
    """The matplotlib figures of one plug-in by file stem; a single one is called what its plug-in is."""
    drawn = entry.draw(summary)
    return drawn if isinstance(drawn, dict) else {entry.name: drawn}


def save_figure(figure: Any, folder: Path, stem: str) -> list[Path]:
    """Write a matplotlib figure as PNG and SVG; without a date and with a fixed salt the same records give the same SVG."""
    from matplotlib import rc_context

    paths = [folder / f"{stem}{suffix}" for suffix in (".png", ".svg")]
    if figure.get_layout_engine() is not None:
        # Arranged once; matplotlib would do it twice for every file.
        figure.draw_without_rendering()
        figure.set_layout_engine(None)
    for path in paths:
        with rc_context({"svg.hashsalt": stem}):
            figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else {})
    return paths


@dataclass(frozen=True)
class Job:
    """The figures of one machine and where they go; those of studies are given `everything`, with what studies measured."""

    folder: Path
    summary: Summary
    everything: Summary

    def draw(self, entry: Figure) -> list[Path]:
        """All figures of one plug-in, written."""
        drawn = drawings(entry, self.everything if entry.of_studies else self.summary)
        return [path for stem, figure in drawn.items() for path in save_figure(figure, self.folder, stem)]


def draw_all(jobs: Sequence[Job]) -> list[list[Path]]:
    """The files of every job. One process per processor, forked so that nothing is imported or read again."""
    tasks = [(job, entry) for job in jobs for entry in figures.entries()]
    # The figures of studies are most of all: whoever draws them begins with them.
    order = sorted(range(len(tasks)), key=lambda place: (tasks[place][1].name != "studies", place))
    ordered = [tasks[place] for place in order]
    workers = min(len(os.sched_getaffinity(0)), MOST_PROCESSES) if sys.platform == "linux" else 1  # forking is not safe elsewhere
    found = _spread(ordered, workers) if workers > 1 else [job.draw(entry) for job, entry in ordered]
    written = dict(zip(order, found, strict=True))
    return [[path for place, (owner, _) in enumerate(tasks) if owner is job for path in written[place]] for job in jobs]


_tasks: list[tuple[Job, Figure]] = []
"""What forked processes find instead of being sent it."""


def _spread(tasks: list[tuple[Job, Figure]], workers: int) -> list[list[Path]]:
    _tasks[:] = tasks
    try:
        with warnings.catch_warnings():
            # Python warns of every fork beside threads. The only ones here are NumPy's, which knows of forks.
            warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
            with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
                return list(pool.map(_draw_at, range(len(tasks))))
    finally:
        _tasks.clear()


def _draw_at(place: int) -> list[Path]:
    job, entry = _tasks[place]
    return job.draw(entry)
