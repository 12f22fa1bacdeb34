"""The tables of the page: published beside measured, what would settle the rest, all effects."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence

from bench.analysis.groups import grouped
from bench.claims.answers import ClaimAnswer, Witness
from bench.claims.rules import Finding, Judged
from bench.claims.scales import Scale
from bench.plugins import Study
from bench.record.arms import AccuracyArm
from bench.report.findings.words import (
    measured,
    observations,
    open_effects,
    published,
    reason_open,
    seeds,
    seeds_needed,
    where,
)
from bench.report.table import Table
from bench.report.tables.verdicts import region
from bench.stats.formatting import duration, p_value

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
MANY = "more than 2,000 observations, or none: it lies at the end of its region"


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
            lines.append([one.headline, reason_open(one), *_settling(one)])
    heads = ["claim", "why it is not known", "what would settle it", "command"]
    return Table(SETTLING_TITLE, heads, lines)


def _settling(one: ClaimAnswer) -> tuple[str, str]:
    """Return what would settle a claim, and the command."""
    if one.verdict is None or one.verdict.outcome == "not measured":
        return "measuring it", one.missing
    if one.verdict.distrust:
        return "a run that passes its own checks, on a quiet machine", one.missing
    again = f"{one.missing} --again"
    if one.verdict.at is None:
        return _more_speeds(open_effects(one)), again
    needed = seeds_needed(one)
    if needed is None:
        return MANY, one.missing
    time = _minutes(one, needed)
    text = f"about {needed} seeds instead of {_seeds_now(one):.3g}"
    return (f"{text}, {time} there" if time else text), f"{one.missing} --seeds {needed}"


def _more_speeds(effects: Sequence[Judged]) -> str:
    """Return how many observations of each kind would settle all these effects."""
    most: dict[str, int] = {}
    for judged in effects:
        if judged.needed is None:
            return MANY
        of = judged.finding.of
        most[of] = max(most.get(of, 0), judged.needed)
    return f"about {' and '.join(f'{n} {of}' for of, n in most.items())}" if most else MANY


def _seeds_now(one: ClaimAnswer) -> float:
    effects = [judged.finding for judged in open_effects(one)]
    return min(seeds(finding) for finding in effects if finding.effect)


def _minutes(one: ClaimAnswer, needed: int) -> str:
    """Return how long the missing training runs take on the machine of the verdict, if known."""
    assert one.chosen and one.verdict and one.verdict.at
    everything = one.chosen.machine.everything
    spent = _training_seconds(one.chosen, one.verdict.at)
    if not spent:
        return ""
    missing = needed - _seeds_now(one)
    runs = _runs_per_seed(one.study, one.verdict.at, everything.machine.kind) * missing
    return (
        f"{math.ceil(runs)} more training runs, about {duration(runs * statistics.median(spent))}"
    )


def _training_seconds(witness: Witness, scale: Scale) -> list[float]:
    """Return the seconds of every training run at a scale, as if alone on the machine."""
    found = []
    for seen in witness.machine.everything.past.seen:
        arm = seen.arm
        if isinstance(arm, AccuracyArm) and _is_at(arm, scale) and seen.training is not None:
            found.append(seen.training)
    return found


def _is_at(arm: AccuracyArm, scale: Scale) -> bool:
    return arm.data == scale.data and arm.recipe is not None and scale.has(arm.recipe)


def _runs_per_seed(study: Study, scale: Scale, kind: str) -> int:
    """Return the number of training runs that one more seed takes."""
    return sum(
        len(need.settings["models"])
        for need in study.needs(scale, kind)
        if need.settings.get("seed", 0) == 0
    )


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
