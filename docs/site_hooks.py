"""Hooks of mkdocs: pages and files of the site that lie outside docs/.

README is the site's home. Reports and figures of results/ that a page links to are copied into
the site under the same path, so that every link works there as it does in the repository.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
HOME = "index.md"
ALSO = ("CONTRIBUTING.md", "CITATION.cff")
"""Files of the root that README links to."""
RESULT = re.compile(r"(?:\]\(|src=\"|href=\")(?:\.\./)?(results/[^)#\"]+)")


def on_files(files: Files, config: Any) -> Files:
    """Add README, and the reports and figures that pages show."""
    files.append(File.generated(config, HOME, abs_src_path=str(ROOT / "README.md")))
    for name in ALSO:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    pages = [ROOT / "README.md", *sorted(Path(config["docs_dir"]).glob("*.md"))]
    for path in _shown(pages):
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def _shown(pages: list[Path]) -> set[Path]:
    """Return the files of results/ that some pages link to, and what those link to in turn."""
    shown: set[Path] = set()
    for page in pages:
        for name in RESULT.findall(page.read_text(encoding="utf-8")):
            path = ROOT / name
            if path.is_file():
                shown.add(path)
            if path.suffix == ".md":
                shown |= set(path.parent.glob("*.png"))
    return shown


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Make links that were written for the repository's folders fit the site's."""
    if page.file.src_uri == HOME:
        return markdown.replace("](docs/", "](")
    if "/" not in page.file.src_uri:
        return markdown.replace("](../results/", "](results/")
    return markdown
