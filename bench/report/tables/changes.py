"""Changes between two sets of records as a table."""

from __future__ import annotations

from collections import Counter

from bench.analysis.changes import Change, Comparison
from bench.analysis.grade import percent
from bench.report.table import Table
from bench.stats.formatting import interval, p_value


def can_tell(found: Comparison) -> str:
    """What a comparison can tell apart, in the sentence that stands before it."""
    if found.resolves is None:
        return "nothing can be told apart: no line has a reference, an A/A pair on both sides and enough rounds; ratios are as measured"
    judged = sum(one.p is not None for one in found.changes)
    text = f"can tell apart {percent(found.resolves)}, in a typical line of {judged}"
    if found.sessions is None:
        return text
    return (
        f"{text}; sessions move a ratio by {percent(found.sessions.spread)}, as the A/A pairs of {found.sessions.runs} runs show it "
        "(more runs on each side, by `bench run --force`, narrow this)"
    )


def changes(found: Comparison, left: str, right: str) -> Table:
    """One line per metric of an arm, the worst first."""
    lines = [_line(one) for one in sorted(found.changes, key=lambda one: -one.loss)]
    counts = Counter(one.outcome for one in found.changes)
    judged = sum(one.p is not None for one in found.changes)
    notes = [
        ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())),
        f"ratios are {right} : {left}; interval, p and word are one test, Holm-corrected over the {judged} lines with a p",
    ]
    if names := sorted({one.against for one in found.changes if one.against}):
        notes.append(
            f"speeds are held against {', '.join(names)} in their own run: what all arms have in common is no change here"
        )
    notes += [f"refused: {reason}" for reason in found.refused]
    return Table(
        "Changes",
        ["arm", "metric", "ratio [95 %, Holm]", "change", "", "p (Holm)", ""],
        lines,
        notes,
    )


def _line(one: Change) -> list[str]:
    how = one.reason or (f"against {one.against}" if one.against else "as measured")
    return [
        one.name,
        one.metric,
        interval(one.ratio, places=3),
        f"{100 * (one.ratio.value - 1):+.1f} %",
        one.outcome,
        p_value(one.p),
        how,
    ]
