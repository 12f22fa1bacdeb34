"""The first screen: what holds, what does not, what is not known, at which scale. No wider than 80.

Decided claims have a line each, with their effect. Open ones share a paragraph for each reason; if
their headlines do not fit on a screen, they are named by their studies, and at last without scales.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from bench.analysis.groups import grouped
from bench.claims.answers import ClaimAnswer, Standing
from bench.config import COMMAND
from bench.report.findings.words import counts, is_bare, reason_open, short_effect, where

WIDTH = 80
MOST_LINES = 24
HEADLINE = 48
TITLES: dict[Standing, str] = {
    "holds": "HOLDS",
    "does not hold": "DOES NOT HOLD",
    "differs": "HOLDS IN ONE PLACE, NOT IN ANOTHER",
}
MEANING = "A verdict is for the data, networks and machine beside it, and no others."


def screen(found: list[ClaimAnswer]) -> list[str]:
    """Return the lines of the first screen."""
    decided: list[str] = []
    for standing in TITLES:
        decided += _decided(standing, [one for one in found if one.standing == standing])
    head, foot = _head(found), _foot()
    unknown = [one for one in found if one.standing == "not known"]
    room = MOST_LINES - len(head) - len(decided) - len(foot)
    return [*head, *decided, *_fitting(unknown, room), *foot]


def _head(found: list[ClaimAnswer]) -> list[str]:
    text = f"{counts(found)} {MEANING}"
    return textwrap.wrap(text, WIDTH)


def _decided(standing: Standing, found: list[ClaimAnswer]) -> Iterator[str]:
    """Yield the claims with one standing, a line each, under the scale that they are known at."""
    for place, claims in grouped(found, _place).items():
        yield from textwrap.wrap(f"{TITLES[standing]} · {place}", WIDTH, subsequent_indent="  ")
        for one in claims:
            headline = textwrap.shorten(one.headline, HEADLINE, placeholder=" …")
            yield from _row(headline, short_effect(one.leading))


def _place(found: ClaimAnswer) -> str:
    return where(found.chosen) if found.chosen else ""


def _row(headline: str, effect: str) -> Iterator[str]:
    """Yield a headline with its effect, on two lines if one is too short."""
    line = f"  {headline:<{HEADLINE}} {effect}".rstrip()
    if len(line) <= WIDTH:
        yield line
        return
    yield f"  {headline}"
    yield effect.rjust(WIDTH)


def _fitting(found: list[ClaimAnswer], room: int) -> list[str]:
    """Return the open claims in at most `room` lines, as fully as that allows."""
    lines: list[str] = []
    for headlines, places in ((True, True), (False, True), (False, False)):
        lines = list(_unknown(found, headlines=headlines, places=places))
        if len(lines) <= room:
            break
    return lines


def _unknown(found: list[ClaimAnswer], *, headlines: bool, places: bool) -> Iterator[str]:
    """Yield a paragraph for each reason why claims are not known, those nearest to one first."""
    if found:
        yield "NOT KNOWN"
    reasons = _reason if places else reason_open
    for reason, claims in grouped(sorted(found, key=is_bare), reasons).items():
        names = [one.headline if headlines else one.study.name for one in claims]
        text = f"{reason}: {('; ' if headlines else ', ').join(names)}"
        yield from textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")


def _reason(found: ClaimAnswer) -> str:
    reason = reason_open(found)
    return f"{reason} ({_place(found)})" if found.chosen else reason


def _foot() -> list[str]:
    return [f"all effects and figures: {COMMAND} findings --out docs/findings.md"]
