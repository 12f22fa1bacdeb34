"""Changes between two sets of records, as a table."""

from __future__ import annotations

from collections import Counter
from operator import attrgetter

from bench.analysis.changes import Change, Comparison
from bench.analysis.grade import percent
from bench.report.notes import Caveat
from bench.report.table import Table
from bench.stats.formatting import interval, p_value

COLUMNS = [
    "configuration",
    "metric",
    "ratio [95 %, Holm]",
    "change",
    "outcome",
    "p (Holm)",
    "compared",
]
ORDER = {"worse": 0, "better": 1}
"""The place of outcomes in the first line; all others follow."""


def can_tell(found: Comparison) -> str:
    """Return which changes a comparison can resolve, as the sentence before it."""
    if found.resolves is None:
        return (
            "no change can be resolved: no line has a reference, an A/A check on both sides and "
            "enough rounds; ratios are as measured"
        )
    text = (
        f"can resolve changes of {percent(found.resolves)}, in a typical line of {_tested(found)}"
    )
    sessions = found.sessions
    if sessions is None:
        return text
    return (
        f"{text}; sessions move a ratio by {percent(sessions.spread)}, by the A/A checks of "
        f"{sessions.runs} runs (more runs on each side, by `bench run --force`, narrow this)"
    )


def outcomes(found: Comparison) -> str:
    """Return how many lines came out how: `2 worse, 1 better, 17 no change`."""
    counts = Counter(map(attrgetter("outcome"), found.changes))
    ordered = sorted(counts, key=lambda outcome: (ORDER.get(outcome, 2), outcome))
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in ordered)


def _tested(found: Comparison) -> int:
    """Return the number of lines with a p-value."""
    return sum(one.p is not None for one in found.changes)


def changes(found: Comparison, left: str, right: str) -> Table:
    """Return one line per metric of a configuration, the worst change first."""
    notes: list[str] = [
        Caveat(
            f"ratios are {right} : {left}; interval, p and word are one test, Holm-corrected over "
            f"the {_tested(found)} lines with a p"
        ),
    ]
    references = sorted(set(map(attrgetter("against"), found.changes)) - {""})
    if references:
        notes.append(
            f"speeds are divided by that of {', '.join(references)} in their own run: what all "
            "configurations have in common is not a change here"
        )
    notes += [Caveat(f"refused: {reason}") for reason in found.refused]
    worst_first = sorted(found.changes, key=lambda one: -one.loss)
    return Table("Changes", COLUMNS, list(map(_line, worst_first)), notes)


def _line(change: Change) -> list[str]:
    how = change.reason or (f"against {change.against}" if change.against else "as measured")
    return [
        change.name,
        change.metric,
        interval(change.ratio, places=3),
        f"{100 * (change.ratio.value - 1):+.1f} %",
        change.outcome,
        p_value(change.p),
        how,
    ]
