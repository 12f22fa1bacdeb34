"""Every figure of a report, drawn and written; on several cores at once, since drawing is most of a report's time."""

from __future__ import annotations

import os
import sys
import warnings
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
    for path in paths:
        with rc_context({"svg.hashsalt": stem}):
            figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else {})
        figure.set_layout_engine("none")  # what the first drawing arranged stays, and need not be found twice
    return paths


def draw_all(folder: Path, summary: Summary, everything: Summary) -> list[Path]:
    """All figures; those of studies are given `everything`, with what was measured for studies alone."""
    entries = figures.entries()
    job = _Job(folder, summary, everything)
    # The studies' figures are most of all: whoever draws them begins with them.
    order = sorted(range(len(entries)), key=lambda place: entries[place].name != "studies")
    found = dict(zip(order, _spread(job, [entries[place] for place in order]), strict=True))
    return [path for place in range(len(entries)) for path in found[place]]


@dataclass(frozen=True)
class _Job:
    folder: Path
    summary: Summary
    everything: Summary

    def draw(self, entry: Figure) -> list[Path]:
        """All figures of one plug-in, written."""
        drawn = drawings(entry, self.everything if entry.of_studies else self.summary)
        return [path for stem, figure in drawn.items() for path in save_figure(figure, self.folder, stem)]


_shared: dict[str, tuple[_Job, list[Figure]]] = {}
"""What forked processes find instead of being sent it."""


def _spread(job: _Job, entries: list[Figure]) -> list[list[Path]]:
    """One process per processor, forked so that nothing is imported or read again; one alone where forking is not safe."""
    workers = min(len(os.sched_getaffinity(0)), MOST_PROCESSES) if sys.platform == "linux" else 1
    if workers < 2:
        return [job.draw(entry) for entry in entries]
    _shared["job"] = (job, entries)
    try:
        with warnings.catch_warnings():
            # Python warns of every fork beside threads. The only ones here are NumPy's, which knows of forks.
            warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
            with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
                return list(pool.map(_draw_shared, range(len(entries))))
    finally:
        _shared.clear()


def _draw_shared(place: int) -> list[Path]:
    job, entries = _shared["job"]
    return job.draw(entries[place])
