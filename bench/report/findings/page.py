"""The page for people, as Markdown: every claim with its verdict, its effect and its scale.

The same records give the same bytes. A claim's line names its scale, so no line can be quoted as if
it were about other data.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from bench.claims.answers import ClaimAnswer, Standing
from bench.config import COMMAND
from bench.report import formats
from bench.report.figures import study_stem
from bench.report.findings.tables import all_table, published_table, settling_table
from bench.report.findings.words import (
    agreement,
    counts,
    is_bare,
    measured,
    observations,
    published,
    reason_open,
    share_decided,
    where,
)
from bench.report.table import Table
from bench.report.tables.verdicts import region

MARK = "<!-- written by `bench findings`; edits are lost -->"
"""The first line of every page, by which a later rendering knows that it may replace the file."""
TITLE = "# What holds, what does not, and what is not known"
ABOUT = (
    "ConvMixer is an image classifier made of convolutions alone. Like a vision transformer (ViT) "
    "it cuts the picture into patches first; where a transformer then mixes them by attention, it "
    "mixes them by convolution. Its paper and later ones make claims about such networks. Each is "
    "tested here by a study that said beforehand which effect it measures and where that has to "
    "lie, and each verdict below is drawn from records of measurements by a fixed rule "
    "({claims}). A verdict holds for the data, networks and machine in its line and "
    "for nothing else: pictures of 32 pixels say nothing about ImageNet."
)
SECTIONS: dict[Standing, str] = {
    "holds": "Holds",
    "does not hold": "Does not hold",
    "differs": "Holds in one place and not in another",
    "not known": "Not known",
}
WORDS = (
    "**top-1**: share of test pictures whose class is named right; a **point** is one percent of "
    "all pictures.",
    "**2.31 [1.92, 2.70]**: the measured effect, and the interval that contains the true one in 95 "
    "of 100 such experiments.",
    "**claimed**: where the effect has to lie for the claim to hold. A claim *holds* if the whole "
    "interval of every deciding effect is inside, and *does not hold* if that of one of them is "
    "wholly outside, both after correction for the number of deciding effects (Holm). Anything "
    "else is *not known*.",
    "**seeds**: training runs of each network that differ in nothing but their random numbers.",
    "**small scale only**: the networks are far smaller, and trained far shorter, "
    "than those that the claim was made about.",
    "**published**: what others reported, not measured here and never part of a verdict.",
)


def page(found: list[ClaimAnswer], out: Path, drawn: dict[str, Path]) -> str:
    """Return the page; `out` is its path, and `drawn` its own figures by name."""
    parts = [MARK, TITLE, *_head(found, out), *_sections(found, out)]
    for name, path in drawn.items():
        parts.append(f"![{name}]({_link(path, out)})")
    parts += map(formats.markdown, _tables(found))
    parts += ["## How to read it", "\n".join(f"- {word}" for word in WORDS)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _head(found: list[ClaimAnswer], out: Path) -> Iterator[str]:
    beside = (out.parent / "claims.md").is_file()
    yield ABOUT.format(claims="[claims.md](claims.md)" if beside else "docs/claims.md")
    named = out.name if out.is_absolute() else out.as_posix()
    rendered = f"Rendered by `{COMMAND} findings --out {named}`, from records alone."
    yield f"**{counts(found)}** {rendered}"


def _tables(found: list[ClaimAnswer]) -> Iterator[Table]:
    for table in (published_table(found), settling_table(found), all_table(found)):
        if table.cells:
            yield table


def _sections(found: list[ClaimAnswer], out: Path) -> Iterator[str]:
    for standing, title in SECTIONS.items():
        claims = [one for one in found if one.standing == standing]
        claims.sort(key=is_bare)
        if claims:
            yield f"## {title} ({len(claims)})"
            yield "\n".join(f"- {line(one, out)}" for one in claims)


def line(one: ClaimAnswer, out: Path) -> str:
    """Return everything about a claim in one line: its sentence, scale, effect and figures."""
    numbers = "".join(f" #{claim}" for claim in one.study.claims)
    head = f"**{formats.in_markdown(one.headline)}**{numbers}: {formats.in_markdown(one.claim)}"
    parts = [formats.in_markdown(part) for part in _said(one)]
    return " · ".join([head, *parts, *_links(one, out)])


def _said(one: ClaimAnswer) -> Iterator[str]:
    """Yield the parts of a claim's line after its sentence, as plain text."""
    reason = reason_open(one)
    if reason:
        yield reason
    if one.chosen is None:
        return
    yield where(one.chosen)
    finding = one.leading
    if finding is not None:
        yield f"{finding.what}: {measured(finding)} (claimed: {region(finding)})"
        yield observations(finding)
        if finding.published:
            yield f"published: {published(finding)} ({finding.published.on})"
    for more in (share_decided(one), agreement(one)):
        if more:
            yield more
    if one.chosen.verdict.changed:
        yield "some of its data were measured when the study asked another question"


def _links(one: ClaimAnswer, out: Path) -> Iterator[str]:
    """Yield links to the study's figure and to the report, if they were rendered."""
    if one.chosen is None:
        return
    folder = one.chosen.machine.folder
    figure = folder / f"{study_stem(one.chosen.verdict)}.png"
    for name, path in (("figure", figure), ("report", folder / "report.md")):
        if path.is_file():
            yield f"[{name}]({_link(path, out)})"


def _link(path: Path, out: Path) -> str:
    """Return the address of a file relative to the page; no character in it can end the link."""
    return quote(os.path.relpath(path, out.parent).replace(os.sep, "/"))
