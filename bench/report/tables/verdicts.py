"""Verdicts as tables: one page of all of them, and each study's findings."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bench.claims.rules import Finding, Judged, Verdict, level, resolvable
from bench.report.table import Table
from bench.stats.formatting import interval, number, p_value

PLACES = {"×": 2, "points": 2, "exponent": 2, "share": 2}


def overview(verdicts: list[Verdict]) -> Iterator[Table]:
    """Every study in a line."""
    if not verdicts:
        return
    lines = [
        [
            one.study,
            one.question,
            _claims(one.claims),
            one.outcome + (" *" if one.changed else ""),
            one.scale,
            _leading(one),
        ]
        for one in verdicts
    ]
    notes = [
        "supported: the 95 % interval of every primary effect lies wholly where the claim wants it, beyond the smallest effect "
        "of interest; contradicted: of one of them wholly elsewhere; both after Holm's correction over the study's primary effects",
        "claims are numbered as in docs/claims.md; a verdict holds for the scale that stands beside it and for no other",
    ]
    if any(one.outcome == "pipeline check" for one in verdicts):
        notes.append(
            "pipeline check: the images are too small and too few to say anything of architectures; it shows that the study runs"
        )
    if any(one.changed for one in verdicts):
        notes.append(
            "* some of its data were measured when the study asked something else: other runs, effects or regions"
        )
    for reason in dict.fromkeys(one.withheld for one in verdicts if one.withheld):
        notes.append(f"no verdict on speeds: {reason}")
    for one in verdicts:
        if one.outcome == "not measured":
            notes.append(f"{one.study} is not measured: {one.missing}")
    yield Table(
        "Verdicts",
        ["study", "question", "claim", "verdict", "scale", "leading effect [95 %]"],
        lines,
        notes,
    )


def _claims(numbers: tuple[int, ...]) -> str:
    return ", ".join(f"#{number}" for number in numbers)


def _leading(verdict: Verdict) -> str:
    found = verdict.leading
    return f"{effect(found)} ({found.what})" if found else ""


def effect(finding: Finding) -> str:
    """Its value with interval and unit; empty where it was not measured."""
    return (
        f"{interval(finding.shown, places=PLACES[finding.unit])} {finding.unit}"
        if finding.shown
        else ""
    )


def details(verdicts: list[Verdict]) -> Iterator[Table]:
    """The findings of every study that was measured."""
    for verdict in verdicts:
        if all(one.outcome == "not measured" for one in verdict.findings):
            continue
        lines = [
            [
                one.finding.what,
                effect(one.finding),
                region(one.finding),
                _outcome(one, verdict),
                p_value(one.p),
                _behind(one),
            ]
            for one in verdict.findings
        ]
        notes = [
            verdict.question,
            *([f"no verdict: {verdict.withheld}"] if verdict.withheld else []),
        ]
        notes += [
            f"{one.finding.what}: {one.finding.note}"
            for one in verdict.findings
            if one.finding.note
        ]
        notes += _power(verdict)
        if verdict.sentinel is not None:
            notes.append(
                f"sentinel deit_s16 : vit_s16 in this machine's runs (one graph, has to be 1) = {interval(verdict.sentinel)}"
            )
        if any(not one.finding.primary for one in verdict.findings):
            notes.append(
                "in brackets: stands beside the question and does not decide it; its p is not corrected, the others' are (Holm)"
            )
        title = f"Study {verdict.study} · {verdict.scale} · {verdict.outcome}"
        yield Table(
            title,
            ["effect", "value [95 %]", "claimed", "outcome", "p", "observations"],
            lines,
            notes,
        )


def _power(verdict: Verdict) -> Iterator[str]:
    """What the data could have decided: without it "inconclusive" says nothing."""
    units = {one.finding.what: one.finding.unit for one in verdict.findings}
    far = {
        what: f"{100 * math.expm1(by):.2g} %" if units[what] == "×" else f"{by:.2g}"
        for what, by in resolvable(verdict.findings).items()
    }
    if far:
        yield (
            "power, eight in ten: decided where it lies so far from its region's end: "
            + "; ".join(
                f"{what} {by}{'' if units[what] == '×' else f' {units[what]}'}"
                for what, by in far.items()
            )
        )
    if (
        looks := max(
            (one.finding.effect.runs for one in verdict.findings if one.finding.effect), default=1
        )
    ) > 1:
        yield f"measured in {looks} runs: each is a look, and the last of them decides below p = {level(looks):.2g} (docs/claims.md)"


def _outcome(one: Judged, verdict: Verdict) -> str:
    # At a scale that decides nothing no finding is printed as if it did.
    text = (
        "pipeline check"
        if verdict.outcome == "pipeline check" and one.outcome != "not measured"
        else one.outcome
    )
    return text if one.finding.primary else f"({text})"


def _behind(one: Judged) -> str:
    """How many observations there are, and how many would settle it."""
    if one.finding.effect is None:
        return "" if one.finding.value is None else "counted" if one.finding.exact else "1"
    more = f"; about {one.needed} would settle it" if one.needed else ""
    processes = (
        f" of {one.finding.effect.processes} processes" if one.finding.effect.processes else ""
    )
    return f"{one.finding.effect.n} {one.finding.of}{processes}{more}"


def region(finding: Finding) -> str:
    """Where the claim wants the effect: `above 1.50`, `-1.00 to 1.00`."""
    low, high = finding.region
    below, above = (low == -math.inf or (finding.unit == "×" and low == 0)), high == math.inf
    if below:
        return f"below {number(high, places=2)}"
    return (
        f"above {number(low, places=2)}"
        if above
        else f"{number(low, places=2)} to {number(high, places=2)}"
    )
