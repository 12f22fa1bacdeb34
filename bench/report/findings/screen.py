"""The first screen: what holds, what does not, what is not known, at which scale.

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
from bench.stats.wrapping import wrapped

WIDTH = 80
"""Columns that the screen takes at most."""
MOST_LINES = 24
EFFECT = 32
"""Columns for an effect behind a headline."""
TITLES: dict[Standing, str] = {
    "holds": "HOLDS",
    "does not hold": "DOES NOT HOLD",
    "differs": "HOLDS IN ONE PLACE, NOT IN ANOTHER",
}
MEANING = "A verdict is for the data, networks and machine beside it, and no others."


def screen(found: list[ClaimAnswer], width: int = WIDTH) -> list[str]:
    """Return the lines of the first screen, in at most `width` columns."""
    width = min(width, WIDTH)
    decided: list[str] = []
    for standing in TITLES:
        of_standing = [one for one in found if one.standing == standing]
        decided += _decided(standing, of_standing, width)
    head, foot = _head(found, width), _foot(width)
    unknown = [one for one in found if one.standing == "not known"]
    room = MOST_LINES - len(head) - len(decided) - len(foot)
    return [*head, *decided, *_fitting(unknown, room, width), *foot]


def _head(found: list[ClaimAnswer], width: int) -> list[str]:
    text = f"{counts(found)} {MEANING}"
    return wrapped(text, width)


def _decided(standing: Standing, found: list[ClaimAnswer], width: int) -> Iterator[str]:
    """Yield the claims with one standing, a line each, under the scale that they are known at."""
    for place, claims in grouped(found, _place).items():
        yield from wrapped(f"{TITLES[standing]} · {place}", width, more="  ")
        for one in claims:
            headline = textwrap.shorten(one.headline, width - 2, placeholder=" …")
            yield from row(headline, short_effect(one.leading), width, width - EFFECT)


def _place(found: ClaimAnswer) -> str:
    return where(found.chosen) if found.chosen else ""


def row(headline: str, effect: str, width: int, room: int) -> Iterator[str]:
    """Yield a headline, padded to `room`, with its effect; on two lines if one is too short."""
    line = f"  {headline:<{room}} {effect}".rstrip()
    if len(line) <= width:
        yield line
        return
    yield f"  {headline}"
    yield effect.rjust(width)


def _fitting(found: list[ClaimAnswer], room: int, width: int) -> list[str]:
    """Return the open claims in at most `room` lines, as fully as that allows."""
    lines: list[str] = []
    for headlines, places in ((True, True), (False, True), (False, False)):
        lines = list(_unknown(found, width, headlines=headlines, places=places))
        if len(lines) <= room:
            break
    return lines


def _unknown(
    found: list[ClaimAnswer], width: int, *, headlines: bool, places: bool
) -> Iterator[str]:
    """Yield a paragraph for each reason why claims are not known, those nearest to one first."""
    if found:
        yield "NOT KNOWN"
    reasons = _reason if places else reason_open
    for reason, claims in grouped(sorted(found, key=is_bare), reasons).items():
        names = [one.headline if headlines else one.study.name for one in claims]
        text = f"{reason}: {('; ' if headlines else ', ').join(names)}"
        yield from wrapped(text, width, first="  ", more="    ")


def _reason(found: ClaimAnswer) -> str:
    reason = reason_open(found)
    return f"{reason} ({_place(found)})" if found.chosen else reason


def _foot(width: int) -> list[str]:
    what, command = "all effects and figures:", f"{COMMAND} findings --out docs/findings.md"
    line = f"{what} {command}"
    return [line] if len(line) <= width else [what, f"  {command}"]
