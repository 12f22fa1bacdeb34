"""The findings: what the records say of every claim, as a screen of text and as a page."""

from __future__ import annotations

from pathlib import Path

from bench.claims.answers import ClaimAnswer
from bench.errors import UsageError
from bench.files.files import read, write_whole
from bench.files.paths import inside
from bench.plugins import finding_figures
from bench.report.figures import drawings, save_figure
from bench.report.findings.page import MARK, page
from bench.report.findings.paper import paper_screen
from bench.report.findings.screen import screen

__all__ = ["check_target", "paper_screen", "screen", "write_findings"]
NAME = "answers"
"""The entry of `finding_figures` that draws the figures of the page."""


def check_target(out: Path) -> None:
    """Raise UsageError if a page cannot be written to `out`, or would replace somebody's file."""
    if out.suffix != ".md":
        raise UsageError(f"--out: must end in .md, got {out}; docs/findings.md would work")
    if not out.parent.is_dir():
        raise UsageError(f"--out: {out.parent} is not a folder; make it or name another")
    inside(out.parent, out)
    if out.exists() and not read(out).startswith(MARK.encode()):
        raise UsageError(
            f"--out: {out} is not a page of this command, and is not replaced; name another file"
        )


def write_findings(found: list[ClaimAnswer], out: Path) -> list[Path]:
    """Write the page to `out` and its figures beside it, and return the files, the page first.

    Raises UsageError as `check_target` does.
    """
    check_target(out)
    figures = drawings(finding_figures.get(NAME), found)
    named = {name: f"{out.stem}_{name}" for name in figures}
    for stem in named.values():
        for suffix in (".png", ".svg"):
            inside(out.parent, out.with_name(stem + suffix))
    pictures: dict[str, Path] = {}
    written: list[Path] = []
    for name, figure in figures.items():
        paths = save_figure(figure, out.parent, named[name])
        pictures[name] = paths[0]
        written += paths
    write_whole(out, page(found, out, pictures).encode())
    return [out, *written]
