"""Verdicts as tables: one of all verdicts, and one of each study's findings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from operator import attrgetter

from bench.analysis.groups import grouped
from bench.claims.rules import Finding, Judged, Verdict, level, resolvable
from bench.report.notes import Caveat, Note
from bench.report.table import Table
from bench.stats.formatting import interval, number, p_value

PLACES = {"×": 2, "points": 2, "exponent": 2, "share": 2, "rank correlation": 2}
"""Decimals by unit of an effect."""
TITLE = "Verdicts"
OVERVIEW = ["study", "question", "claim", "verdict", "scale", "leading effect [95 %]"]
FINDINGS = ["effect", "value [95 %]", "claimed", "outcome", "p", "observations"]
PUBLISHED = "published, not measured here"
"""The head of a column of effects that others published, in tables that have any."""
WORDS_NOTE = (
    "supported: the 95 % interval of every primary effect is wholly in the claim's region, beyond "
    "the smallest effect of interest; contradicted: that of one of them is wholly outside; both "
    "after Holm's correction over the study's primary effects"
)
SCALE_NOTE = Note(
    "claims are numbered as in docs/claims.md; a verdict holds only for the scale next to it",
    "a verdict holds only for the scale next to it",
)
PIPELINE_NOTE = Caveat(
    "pipeline check: the images are too small and too few to say anything about architectures; it "
    "shows that the study runs"
)
CHANGED_NOTE = Caveat(
    "* some of its data were measured when the study asked another question: other runs, effects "
    "or regions"
)
BRACKETS_NOTE = (
    "in brackets: it accompanies the question and does not decide it; its p is not corrected, the "
    "others' are (Holm)"
)


def overview(verdicts: list[Verdict]) -> Iterator[Table]:
    """Yield all verdicts, one study per line."""
    if verdicts:
        lines = list(map(_verdict_line, verdicts))
        yield Table(TITLE, OVERVIEW, lines, list(_overview_notes(verdicts)))


BRIEF = ["study", "verdict", "leading effect [95 %]", "of"]


def brief(verdicts: list[Verdict]) -> Iterator[Table]:
    """Yield one table per scale with the verdicts on what was measured, a line each.

    A note below the last one names the other studies.
    """
    measured = grouped(
        (one for one in verdicts if one.outcome != "not measured"), attrgetter("scale")
    )
    tables = []
    for scale, found in measured.items():
        tables.append(Table(f"Verdicts · {scale}", BRIEF, list(map(_brief_line, found))))
    if tables:
        tables[-1].notes += _brief_notes(verdicts)
    yield from tables


def tally(verdicts: list[Verdict]) -> str:
    """Return how many verdicts came out how: `3 supported, 1 inconclusive; 20 not measured`."""
    counts = Counter(map(attrgetter("outcome"), verdicts))
    missing = counts.pop("not measured", 0)
    known = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    parts = [known, f"{missing} not measured" if missing else ""]
    return "; ".join(filter(None, parts))


def _brief_line(verdict: Verdict) -> list[str]:
    leading = verdict.leading
    outcome = verdict.outcome + (" *" if verdict.changed else "")
    shown = [effect(leading), leading.what] if leading else ["", ""]
    return [verdict.study, outcome, *shown]


def _brief_notes(verdicts: list[Verdict]) -> Iterator[str]:
    if any(map(attrgetter("changed"), verdicts)):
        yield CHANGED_NOTE
    for reason in dict.fromkeys(filter(None, map(attrgetter("withheld"), verdicts))):
        yield Caveat(f"no verdict on speeds: {reason}")
    missing = [one.study for one in verdicts if one.outcome == "not measured"]
    if missing:
        yield f"not measured: {', '.join(dict.fromkeys(missing))}"


def _verdict_line(verdict: Verdict) -> list[str]:
    leading = verdict.leading
    return [
        verdict.study,
        verdict.question,
        numbered(verdict.claims),
        verdict.outcome + (" *" if verdict.changed else ""),
        verdict.scale,
        f"{effect(leading)} ({leading.what})" if leading else "",
    ]


def numbered(claims: Iterable[int]) -> str:
    """Return claims as `#1, #2`."""
    return ", ".join(map("#{}".format, claims))


def _overview_notes(verdicts: list[Verdict]) -> Iterator[str]:
    yield WORDS_NOTE
    yield SCALE_NOTE
    if any(one.outcome == "pipeline check" for one in verdicts):
        yield PIPELINE_NOTE
    if any(map(attrgetter("changed"), verdicts)):
        yield CHANGED_NOTE
    for reason in dict.fromkeys(filter(None, map(attrgetter("withheld"), verdicts))):
        yield Caveat(f"no verdict on speeds: {reason}")
    for one in verdicts:
        if one.outcome == "not measured":
            yield Caveat(f"{one.study} is not measured: {one.missing}", "")


def effect(finding: Finding) -> str:
    """Return an effect with interval and unit; empty if it was not measured."""
    if not finding.shown:
        return ""
    return f"{interval(finding.shown, places=PLACES[finding.unit])} {finding.unit}"


def published(finding: Finding) -> str:
    """Return the effect that others published, with its unit; empty if they published none."""
    if finding.published is None:
        return ""
    return f"{number(finding.published.value, places=PLACES[finding.unit])} {finding.unit}"


def details(verdicts: list[Verdict]) -> Iterator[Table]:
    """Yield the findings of every study that was measured."""
    for verdict in verdicts:
        if any(one.outcome != "not measured" for one in verdict.findings):
            lines = list(map(partial(_finding_line, verdict), verdict.findings))
            title = f"Study {verdict.study} · {verdict.scale} · {verdict.outcome}"
            table = Table(title, FINDINGS, lines, list(_notes(verdict)))
            theirs = [published(one.finding) for one in verdict.findings]
            if any(theirs):
                table.insert(2, PUBLISHED, theirs)
            yield table


def _finding_line(verdict: Verdict, one: Judged) -> list[str]:
    finding = one.finding
    return [
        finding.what,
        effect(finding),
        region(finding),
        _outcome(one, verdict),
        p_value(one.p),
        _behind(one),
    ]


def _notes(verdict: Verdict) -> Iterator[str]:
    findings = list(map(attrgetter("finding"), verdict.findings))
    yield verdict.question
    if verdict.withheld:
        yield Caveat(f"no verdict: {verdict.withheld}")
    for finding in findings:
        if finding.note:
            yield Caveat(f"{finding.what}: {finding.note}")
    theirs = filter(None, map(attrgetter("published"), findings))
    yield from dict.fromkeys(f"published: {one.on}; {one.source}" for one in theirs)
    yield from _power(verdict)
    if verdict.sentinel is not None:
        yield (
            "A/A check deit_s16 : vit_s16 in this machine's runs (one graph, so the ratio should "
            f"be 1) = {interval(verdict.sentinel)}"
        )
    if not all(map(attrgetter("primary"), findings)):
        yield BRACKETS_NOTE


def _power(verdict: Verdict) -> Iterator[str]:
    """Yield what the data could have decided: without that, "inconclusive" says nothing."""
    findings = {one.finding.what: one.finding for one in verdict.findings}
    distances = []
    for what, by in resolvable(verdict.findings).items():
        unit, far = findings[what].unit, findings[what].distance(by)
        text = f"{100 * (far - 1):.2g} %" if unit == "×" else f"{far:.2g} {unit}"
        distances.append(f"{what} {text}")
    if distances:
        yield (
            "power, eight in ten: an effect is decided this far from the end of its region: "
            + "; ".join(distances)
        )
    effects = filter(None, map(attrgetter("finding.effect"), verdict.findings))
    looks = max(map(attrgetter("runs"), effects), default=1)
    if looks > 1:
        yield (
            f"measured in {looks} runs: each is a look, and the last of them decides below "
            f"p = {level(looks):.2g} (docs/claims.md)"
        )


def _outcome(one: Judged, verdict: Verdict) -> str:
    # At a scale that decides nothing, no finding is shown as if it did.
    checked = verdict.outcome == "pipeline check" and one.outcome != "not measured"
    text = "pipeline check" if checked else one.outcome
    return text if one.finding.primary else f"({text})"


def _behind(one: Judged) -> str:
    """Return the number of observations, and how many would settle the question."""
    finding = one.finding
    if finding.effect is None:
        if finding.value is None:
            return ""
        return "counted" if finding.exact else "1"
    of = f"{finding.effect.n} {finding.of}"
    processes = finding.effect.processes
    behind = f"{of} of {processes} processes" if processes else of
    return f"{behind}; about {one.needed} would settle it" if one.needed else behind


def region(finding: Finding) -> str:
    """Return the effects for which the claim holds: `above 1.50`, `-1.00 to 1.00`."""
    low, high = finding.region
    if low == -math.inf or (finding.unit == "×" and low == 0):
        return f"below {number(high, places=2)}"
    if high == math.inf:
        return f"above {number(low, places=2)}"
    return f"{number(low, places=2)} to {number(high, places=2)}"
