"""One figure of a report by its name: for a file that the user names, or for a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from bench.analysis.machines import MachineRecords
from bench.errors import UsageError, visible
from bench.files.paths import inside
from bench.plugins import Figure, figures
from bench.report.figures import drawings, save_figure
from bench.report.selection import Selection, select

WHOLE = Selection()
SUFFIXES = (".pdf", ".png", ".svg")


def draw_one(name: str, machines: Sequence[MachineRecords], chosen: Selection = WHOLE) -> Any:
    """Return one matplotlib figure of these machines' records.

    `name` is the stem of a report's file, or what a group of them begins with, such as
    `pareto_throughput`.

    Raises UsageError, with the names that there are, if it does not name one figure.
    """
    entry = _entry(name)
    every = {machine.folder.name: _drawn(entry, machine, chosen) for machine in machines}
    found = {place: _called(name, entry, drawn) for place, drawn in every.items()}
    here = {place: drawn for place, drawn in found.items() if drawn}
    if not here:
        raise UsageError(_why_none(name, entry, every))
    if len(here) > 1:
        raise UsageError(
            f"--figure: {len(here)} machines have {name}; name one by its folder, such as "
            f"--results {machines[0].folder.parent / next(iter(here))}"
        )
    [drawn] = here.values()
    if len(drawn) > 1:
        raise UsageError(
            f"--figure: {name} is {len(drawn)} figures here; name one of {_all(drawn)}"
        )
    return next(iter(drawn.values()))


def _entry(name: str) -> Figure:
    """Return the plug-in that draws a figure; UsageError if there is none."""
    fitting = [entry for entry in figures.entries() if _begins(name, entry)]
    if not fitting:
        known = [entry.prefix for entry in figures.entries()]
        near = get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ";"
        raise UsageError(
            f"--figure: no figure {visible(name)!r}{hint} there are {', '.join(known)}"
        )
    return max(fitting, key=lambda entry: len(entry.prefix))


def _begins(name: str, entry: Figure) -> bool:
    return name in (entry.name, entry.prefix) or name.startswith(f"{entry.prefix}_")


def _drawn(entry: Figure, machine: MachineRecords, chosen: Selection) -> dict[str, Any]:
    whole = machine.everything if entry.of_studies else machine.summary
    return drawings(entry, select(chosen, whole))


def _called(name: str, entry: Figure, drawn: dict[str, Any]) -> dict[str, Any]:
    """Return the figures that a name means: the one of that stem, else all of its beginning."""
    if name in drawn:
        return {name: drawn[name]}
    group = name in (entry.name, entry.prefix)
    return {stem: figure for stem, figure in drawn.items() if group or stem.startswith(f"{name}_")}


def _why_none(name: str, entry: Figure, every: dict[str, dict[str, Any]]) -> str:
    """Return the error for a figure that these records do not give."""
    others = {stem: figure for drawn in every.values() for stem, figure in drawn.items()}
    if others:
        return f"--figure: these records give no {visible(name)!r}, but {_all(others)}"
    needs = entry.needs or entry.summary
    return f"--figure: {entry.prefix} cannot be drawn from these records: it needs {needs}"


def _all(drawn: dict[str, Any]) -> str:
    return ", ".join(sorted(drawn))


def check_figure_file(out: Path) -> None:
    """Raise UsageError if a figure cannot be written to `out`."""
    if out.suffix not in SUFFIXES:
        raise UsageError(
            f"--out: must end in {', '.join(SUFFIXES)}, got {out}; figure.pdf would work"
        )
    if not out.parent.is_dir():
        raise UsageError(f"--out: {out.parent} is not a folder; make it or name another")
    inside(out.parent, out)


def save_one(figure: Any, out: Path) -> Path:
    """Write a figure to a file, in the format of its suffix, and return the path."""
    [path] = save_figure(figure, out.parent, out.stem, [out.suffix[1:]])
    return path
