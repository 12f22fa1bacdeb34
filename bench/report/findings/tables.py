"""The tables of the page: published beside measured, what would settle the rest, all effects."""

from __future__ import annotations

from collections.abc import Iterator

from bench.analysis.groups import grouped
from bench.claims.answers import ClaimAnswer, Witness
from bench.claims.rules import Finding, Judged
from bench.report.findings.settling import settling
from bench.report.findings.words import (
    measured,
    observations,
    published,
    reason_open,
    where,
)
from bench.report.table import Table
from bench.report.tables.verdicts import region
from bench.stats.formatting import p_value

PUBLISHED_TITLE = "Published beside measured"
SETTLING_TITLE = "What would settle the rest"
ALL_TITLE = "All effects"
PUBLISHED_NOTE = (
    "published figures are others' and were not measured here; they are of other networks and "
    "longer training, so their direction can be compared and their size cannot"
)
DIRECTION_NOTE = (
    "same or opposite: the whole measured interval lies on the published side of no effect, or on "
    "the other; open: it contains no effect"
)
DISTRUST_NOTE = "not trusted: its run did not pass its own checks, so it decides nothing"
BRACKETS_NOTE = "in brackets: accompanies the claim and does not decide it; its p is not corrected"


def witnesses(found: list[ClaimAnswer]) -> Iterator[Witness]:
    """Yield every verdict that measured something, the one that answers a claim first."""
    for one in found:
        if one.chosen:
            yield from (one.chosen, *one.others)


def compared(found: list[ClaimAnswer]) -> list[tuple[ClaimAnswer, Finding]]:
    """Return every measured effect of the answers for which others published one."""
    pairs = []
    for one in found:
        for judged in one.verdict.findings if one.verdict else ():
            if judged.finding.published and judged.finding.shown:
                pairs.append((one, judged.finding))
    return pairs


def published_table(found: list[ClaimAnswer]) -> Table:
    """Return every effect for which others published one, next to theirs."""
    lines = []
    for one, finding in compared(found):
        assert one.chosen and finding.published
        lines.append(
            [
                finding.what,
                measured(finding),
                where(one.chosen),
                observations(finding),
                published(finding),
                f"{finding.published.on} ({finding.published.source})",
                direction(finding),
            ]
        )
    heads = ["comparison", "measured [95 %]", "at", "from", "published", "of", "direction"]
    return Table(PUBLISHED_TITLE, heads, lines, [PUBLISHED_NOTE, DIRECTION_NOTE])


def direction(finding: Finding) -> str:
    """Return whether an effect has the sign of the published one: same, opposite or open."""
    assert finding.published
    neutral = 1.0 if finding.unit == "×" else 0.0
    shown = finding.shown
    if shown is None or shown.low is None or shown.high is None or shown.holds(neutral):
        return "open"
    return "same" if (shown.low > neutral) == (finding.published.value > neutral) else "opposite"


def settling_table(found: list[ClaimAnswer]) -> Table:
    """Return what would decide the claims that are not: seeds or rounds, minutes, the command."""
    lines = []
    for one in found:
        if one.standing == "not known":
            lines.append([one.headline, reason_open(one), *settling(one)])
    heads = ["claim", "why it is not known", "what would settle it", "command"]
    return Table(SETTLING_TITLE, heads, lines)


def all_table(found: list[ClaimAnswer]) -> Table:
    """Return every measured effect of every verdict, with p, observations and region."""
    lines = []
    for study, heard in grouped(witnesses(found), lambda one: one.verdict.study).items():
        for witness in heard:
            shown = [one for one in witness.verdict.findings if one.finding.shown is not None]
            lines += [_line(study, witness, one) for one in shown]
    heads = ["study", "effect", "measured [95 %]", "claimed", "outcome", "p", "from", "at"]
    return Table(ALL_TITLE, heads, lines, [BRACKETS_NOTE, DISTRUST_NOTE])


def _line(study: str, witness: Witness, one: Judged) -> list[str]:
    finding = one.finding
    withheld = one.outcome == "inconclusive" and witness.verdict.distrust
    outcome = "not trusted" if withheld else one.outcome
    return [
        study,
        finding.what,
        measured(finding),
        region(finding),
        outcome if finding.primary else f"({outcome})",
        p_value(one.p),
        observations(finding),
        f"{where(witness)} · {witness.machine.folder.name}",
    ]
