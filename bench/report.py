"""Records to a report: `report.md` and figures, beside the records they were made from. Measures nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.asking import verdicts
from bench.errors import UsageError
from bench.plugins import Figure, figures
from bench.record import DamagedRecord, load_folder, write_whole
from bench.summary import Summary, summarise
from bench.table import Table
from bench.tables import all_tables
from bench.verdict_tables import details, overview
from bench.verdicts import Verdict


@dataclass(frozen=True)
class Report:
    """What was written for one machine."""

    folder: Path
    summary: Summary
    tables: list[Table]
    figures: list[Path]
    damaged: list[DamagedRecord]
    verdicts: list[Verdict]


def machine_folders(results: Path) -> list[Path]:
    """The folders below `results` that hold records; UsageError where there are none."""
    if not results.is_dir():
        raise UsageError(f"--results: {results} is not a folder; `python -m bench run` makes one")
    found = sorted(path.parent for path in results.glob("*/records") if any(path.glob("*.jsonl")))
    if not found:
        raise UsageError(f"--results: {results} holds no records; `python -m bench run` measures some")
    return found


def write(folder: Path) -> Report:
    """Render the records of one machine; damaged ones are left out and named in the result."""
    records, damaged = load_folder(folder / "records")
    if not any(record.runs for record in records):
        raise damaged[0] if damaged else UsageError(f"{folder}/records: no run in any record; run again")
    summary = summarise(records)
    everything = summarise(records, of_studies=True)
    found = verdicts(everything) if everything.studied else []
    tables = [*all_tables(summary), *overview(found)]
    written = _write_figures(folder, summary, everything)
    write_whole(folder / "report.md", markdown(summary, [*tables, *details(found)], written).encode())
    return Report(folder, summary, tables, written, damaged, found)


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
    return paths


def _write_figures(folder: Path, summary: Summary, everything: Summary) -> list[Path]:
    written: list[Path] = []
    for entry in figures.entries():
        for stem, figure in drawings(entry, everything if entry.of_studies else summary).items():
            written += save_figure(figure, folder, stem)
    return written


def markdown(summary: Summary, tables: list[Table], drawn: list[Path]) -> str:
    """The report as Markdown."""
    from tabulate import tabulate

    machine = summary.machine
    parts = [
        f"# {machine.name}",
        f"{machine.accelerator or machine.cpu}, {machine.cores} cores, {machine.memory_bytes / 1e9:.0f} GB; "
        + ", ".join(f"{name} {version}" for name, version in machine.versions.items()),
    ]
    for table in tables:
        parts.append(f"## {_escape(table.title)}")
        columns = [_escape(column) for column in table.columns]
        rows = [[_escape(cell) for cell in row] for row in table.rows]
        right = ("left", *["right"] * (len(columns) - 1))
        parts.append(tabulate(rows, headers=columns, tablefmt="github", disable_numparse=True, colalign=right))
        parts.append("\n".join(f"- {_escape(note)}" for note in table.notes))
    if drawn:
        parts.append("## Figures")
        parts += [f"![{path.stem}]({path.name})" for path in drawn if path.suffix == ".png"]
    if summary.notes:
        parts += ["## Notes", "\n".join(f"- {_escape(note)}" for note in summary.notes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _escape(text: str) -> str:
    """Names come from strangers: nothing in them may end a cell or open a tag."""
    for character, replacement in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("`", "\\`"), ("\n", " ")):
        text = text.replace(character, replacement)
    return text
