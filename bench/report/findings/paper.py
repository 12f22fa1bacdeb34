"""The claims of "Patches Are All You Need?" on one screen: does the paper hold?

Each claim has its verdict, its effect with the interval, the scale, what the paper published, and
the study that would settle it better. At most 80 columns wide.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator

from bench.analysis.groups import grouped
from bench.claims.answers import ClaimAnswer, Standing
from bench.config import COMMAND
from bench.report.findings.screen import TITLES, WIDTH, row
from bench.report.findings.settling import better
from bench.report.findings.words import published, reason_open, short_effect, where
from bench.stats.wrapping import wrapped

HEADLINE = 48
ALL_TITLES: dict[Standing, str] = {**TITLES, "not known": "NOT KNOWN"}
TITLE = '"Patches Are All You Need?" (arXiv 2201.09792)'
RUN = f"{COMMAND} study run "


def paper_screen(found: list[ClaimAnswer], width: int = WIDTH) -> list[str]:
    """Return the lines of the screen; `found` may contain claims of others, which are left out."""
    width = min(width, WIDTH)
    mine = [one for one in found if one.study.paper]
    lines = wrapped(_head(mine), width)
    for standing in ALL_TITLES:
        of_standing = [one for one in mine if one.standing == standing]
        for title, claims in grouped(of_standing, _group).items():
            lines += wrapped(title, width, more="  ")
            for one in claims:
                lines += _claim(one, width)
    return [*lines, *_foot(mine, width)]


def _head(found: list[ClaimAnswer]) -> str:
    number = Counter(one.standing for one in found)
    differs = f"; differ by place: {number['differs']}" if number["differs"] else ""
    return (
        f"{TITLE} makes {len(found)} claims that are tested here. Hold: {number['holds']}; do not "
        f"hold: {number['does not hold']}{differs}; not known: {number['not known']}. A verdict is "
        "for the data, networks and machine above it."
    )


def _group(one: ClaimAnswer) -> str:
    """Return the line above the claims of one verdict: the verdict, why it is open, the scale."""
    place = where(one.chosen) if one.chosen else ""
    return " · ".join(filter(None, (ALL_TITLES[one.standing], reason_open(one), place)))


def _claim(one: ClaimAnswer, width: int) -> Iterator[str]:
    """Yield the lines of one claim: its effect, what the paper has, and what would tell more."""
    headline = textwrap.shorten(one.headline, min(HEADLINE, width - 2), placeholder=" …")
    yield from row(headline, short_effect(one.leading), width, HEADLINE)
    if one.leading is not None and one.leading.published is not None:
        theirs = f"published: {published(one.leading)} ({one.leading.published.on})"
        yield from wrapped(theirs, width, first="    ", more="      ")
    settling = f"{one.study.paper} · {better(one).removeprefix(RUN)}"
    yield from wrapped(settling, width, first="    ", more="      ")


def _foot(found: list[ClaimAnswer], width: int) -> list[str]:
    text = (
        "Under each claim: where the paper makes it (the abstract, or the part that others quote), "
        "and the study that would settle it better, as in:"
    )
    return [*wrapped(text, width), min(map(better, found), key=len)]
