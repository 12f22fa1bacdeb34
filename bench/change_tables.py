"""Changes between two sets of records as a table."""

from __future__ import annotations

from collections import Counter

from bench.changes import Change, Comparison
from bench.table import Table
from bench.units import interval, p_value


def changes(found: Comparison, left: str, right: str) -> Table:
    """One line per metric of an arm, the worst first."""
    lines = [_line(one) for one in sorted(found.changes, key=lambda one: -one.loss)]
    counts = Counter(one.outcome for one in found.changes)
    notes = [
        ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())),
        f"ratios are {right} : {left}; p by t-test of the log-ratios, Holm-corrected over all lines; changed where p < 0.05",
    ]
    if any(not one.paired for one in found.changes):
        notes.append("unpaired: the two sides have no rounds in common, so drift of the machine is in the interval")
    notes += [f"refused: {reason}" for reason in found.refused]
    return Table("Changes", ["arm", "metric", "ratio [95 %]", "change", "", "p (Holm)", ""], lines, notes)


def _line(one: Change) -> list[str]:
    how = "by rounds" if one.paired else "unpaired"
    return [one.name, one.metric, interval(one.ratio, places=3), _percent(one), one.outcome, p_value(one.p), how]


def _percent(one: Change) -> str:
    """How much better or worse, whichever direction the metric has."""
    return f"{abs(one.loss) * 100:.1f} % {'worse' if one.loss > 0 else 'better'}"
