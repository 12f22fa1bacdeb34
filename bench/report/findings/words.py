"""Effects, their observations and open questions in words, for people outside the project."""

from __future__ import annotations

import math
from collections import Counter

from bench.claims.answers import ClaimAnswer, Witness
from bench.claims.rules import Finding, Judged
from bench.report.tables.verdicts import PLACES
from bench.stats.formatting import interval, number

UNITS = {"points": "points of top-1", "exponent": "in the exponent", "share": "as a share"}
"""Units as they follow a value in a sentence."""
SHORT = {"points": 1}
"""Decimals by unit on a screen; two for any other. The page has more."""


def counts(found: list[ClaimAnswer]) -> str:
    """Return how many claims hold, how many do not, and how many are not known."""
    number = Counter(one.standing for one in found)
    parts = [
        f"{len(found)} claims about ConvMixer and its rivals. Hold: {number['holds']}",
        f"do not hold: {number['does not hold']}",
        f"differ by place: {number['differs']}" if number["differs"] else "",
        f"not known: {number['not known']}.",
    ]
    return "; ".join(filter(None, parts))


def is_bare(found: ClaimAnswer) -> bool:
    """True for a claim of which nothing was measured."""
    return found.chosen is None


def short_effect(finding: Finding | None) -> str:
    """Return `2.3 [1.9, 2.7] points` for one line of a screen; empty if nothing was measured."""
    if finding is None or finding.shown is None:
        return ""
    return f"{interval(finding.shown, places=SHORT.get(finding.unit, 2))} {finding.unit}"


def measured(finding: Finding) -> str:
    """Return `2.31 [1.92, 2.70] points of top-1`; empty if nothing was measured."""
    if finding.shown is None:
        return ""
    value = interval(finding.shown, places=PLACES.get(finding.unit, 2))
    return f"{value} {UNITS.get(finding.unit, finding.unit)}"


def published(finding: Finding) -> str:
    """Return `2.27 points of top-1`, as others published it; empty if nobody did."""
    if finding.published is None:
        return ""
    value = number(finding.published.value, places=PLACES.get(finding.unit, 2))
    return f"{value} {UNITS.get(finding.unit, finding.unit)}"


def observations(finding: Finding) -> str:
    """Return what stands behind an effect: `5 seeds`, `16 rounds in 4 processes`, `counted`."""
    effect = finding.effect
    if effect is None:
        if finding.shown is None:
            return ""
        return "counted" if finding.exact else "no interval"
    if finding.of == "trainings":
        return f"{seeds(finding):.3g} seeds"
    processes = f" in {effect.processes} processes" if effect.processes else ""
    return f"{effect.n} {finding.of}{processes}"


def seeds(finding: Finding) -> float:
    """Return the number of training runs per network behind an effect, the mean if they differ."""
    assert finding.effect is not None
    return finding.effect.n / finding.effect.groups


def where(witness: Witness) -> str:
    """Return the scale of a verdict, and what it does not say: `CIFAR-10, ..., known only ...`."""
    verdict = witness.verdict
    return ", ".join(filter(None, (verdict.scale, verdict.at.caveat if verdict.at else "")))


def reason_open(found: ClaimAnswer) -> str:
    """Return why a claim is not decided, in few words; empty if it is."""
    verdict = found.verdict
    if verdict is None:
        return "not measured"
    if found.standing != "not known":
        return ""
    if verdict.distrust:
        return f"speeds not trusted: {verdict.distrust}"
    if verdict.outcome == "not measured":
        lacking = sum(one.finding.shown is None for one in found.deciding)
        return f"{lacking} of {len(found.deciding)} deciding effects not measured"
    return "the data do not decide"


def open_effects(found: ClaimAnswer) -> list[Judged]:
    """Return the deciding effects that were measured and are not decided."""
    return [one for one in found.deciding if one.outcome == "inconclusive"]


def share_decided(found: ClaimAnswer) -> str:
    """Return how many of several deciding effects came out as the verdict says."""
    deciding = found.deciding
    if len(deciding) < 2 or found.verdict is None:
        return ""
    outcome = found.verdict.outcome
    alike = sum(one.outcome == outcome for one in deciding)
    if outcome == "supported":
        return f"the first of {len(deciding)} deciding effects, which all lie where they should"
    if outcome == "contradicted":
        lie = "lies" if alike == 1 else "lie"
        return f"{alike} of {len(deciding)} deciding effects {lie} outside"
    if outcome == "inconclusive":
        are = "is" if alike == 1 else "are"
        return f"{alike} of {len(deciding)} deciding effects {are} not decided"
    return ""


def agreement(found: ClaimAnswer) -> str:
    """Return how many verdicts of other machines and scales agree; empty if there are none."""
    parts = []
    if found.agreeing:
        parts.append(f"{_verdicts(len(found.agreeing))} elsewhere agree{_s(len(found.agreeing))}")
    if found.opposed:
        places = "; ".join(where(other) for other in found.opposed)
        count = len(found.opposed)
        parts.append(f"{_verdicts(count)} elsewhere contradict{_s(count)} it ({places})")
    undecided = len(found.others) - len(found.agreeing) - len(found.opposed)
    if undecided and found.verdict and found.standing != "not known":
        parts.append(f"{undecided} elsewhere undecided")
    return ", ".join(parts)


def _verdicts(count: int) -> str:
    return "1 verdict" if count == 1 else f"{count} verdicts"


def _s(count: int) -> str:
    """Return the ending of a verb."""
    return "s" if count == 1 else ""


def seeds_needed(found: ClaimAnswer) -> int | None:
    """Return the training runs per network that would decide every open effect.

    None if they would be too many, or if the effects are not of training runs.
    """
    most = 0
    for one in open_effects(found):
        effect = one.finding.effect
        if effect is None or one.needed is None or one.finding.of != "trainings":
            return None
        most = max(most, math.ceil(seeds(one.finding) * one.needed / effect.n))
    return most or None
