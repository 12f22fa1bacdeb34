"""How far a run's speeds can be believed: a word, a sentence that is printed first, and whether they earn marks.

Three checks come along with every run: the A/A pair (one network under two names, whose ratio has to be 1), the canary (a
fixed workload, which has to stay as fast as it was) and the share of windows that other programs disturbed. Where one of
them fails, or nobody made them, tables show their numbers still, and nothing that ranks them: no bold and no ≈, no
percentage on a front, no verdict on speeds. Reads a summary, measures nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bench.analysis.rows import Summary
from bench.analysis.run_quality import TIMED, Canary, canary, sentinel
from bench.stats.formatting import interval
from bench.stats.intervals import Estimate
from bench.stats.reference import sentinel_size

Word = Literal["good", "coarse", "unchecked", "do not use"]
ORDER: tuple[Word, ...] = ("good", "coarse", "unchecked", "do not use")
FINE = 0.05
"""What tells apart less than this is good: papers argue about differences of five to ten per cent."""
COARSEST = 0.25
"""Models of one budget mostly differ by less, so what needs more than this ranks next to nothing."""
OFF = 0.02
"""How far from 1 an A/A interval may stay. One in twenty sound intervals misses 1, nearly always by less; `verify` allows as much."""
UNSTEADY = 0.30
"""Spread of the canary (5th to 95th percentile, of its median) from which a median over rounds is of no one state of the
machine. On two shared cores 27 % went with an A/A pair near 1, 43 % with one of [0.80, 1.06]."""
MOST_OFF = 0.5
"""Share of rounds whose canary is off from which the exception is the rule; the same share of windows that are disturbed."""


@dataclass(frozen=True)
class Grade:
    """What a run's own checks make of its speeds. `resolves`: the smallest difference that it can tell apart, as a share."""

    word: Word
    line: str
    resolves: float | None = None

    @property
    def marks(self) -> bool:
        """Whether speeds may be ranked: bold, ≈, percentages on fronts, verdicts."""
        return self.word in ("good", "coarse")

    def of(self, what: str) -> Grade:
        """The same, its sentence begun with what it is about."""
        return Grade(self.word, f"{what}: {self.line}", self.resolves)


def grade(summary: Summary, size: int) -> Grade:
    """The grade of the speeds at one image size, by the A/A pair of that size."""
    return _grade(summary, sentinel(summary, sentinel_size(size)))


def grades(summary: Summary) -> dict[int, Grade]:
    """The grade of every image size at which something was timed, the largest first; empty where nothing was."""
    timed = {
        row.image_size
        for row in (*summary.rows, *summary.best)
        if any(quantity.metric in TIMED for quantity in row.fair)
    }
    return {size: grade(summary, size) for size in sorted(timed, reverse=True)}


def worst(summary: Summary) -> Grade | None:
    """The worst of them, which a sentence on all speeds of a machine has to go by; None where nothing was timed."""
    return max(grades(summary).values(), key=lambda one: ORDER.index(one.word), default=None)


def lines(summary: Summary) -> list[str]:
    """What to print before speeds: one line, or one for each image size where these have grades of their own."""
    found = grades(summary)
    if len({one.line for one in found.values()}) < 2:
        return [one.line for one in found.values()][:1]
    return [one.of(f"{size} px").line for size, one in found.items()]


def _grade(summary: Summary, pair: Estimate | None) -> Grade:
    steady = canary(summary)
    resolves = _far_end(pair)
    reasons = list(_reasons(summary, pair, steady, resolves))
    if reasons:
        return Grade("do not use", f"do not use: {'; '.join(reasons)}", resolves)
    if pair is None or resolves is None:
        why = (
            "no A/A pair was measured"
            if pair is None
            else f"the A/A pair has no interval ({interval(pair)})"
        )
        return Grade(
            "unchecked",
            f"unchecked: {why}, so nobody knows what this run can tell apart; nothing is ranked",
        )
    word: Word = "good" if resolves <= FINE else "coarse"
    return Grade(
        word,
        f"{word}: this run can tell apart {percent(resolves)} ({_checks(summary, pair, steady)})",
        resolves,
    )


def _far_end(pair: Estimate | None) -> float | None:
    """How far from 1 the A/A interval reaches: bias and width together."""
    return (
        None
        if pair is None or not pair.low or pair.high is None
        else max(pair.high, 1 / pair.low) - 1
    )


def _reasons(
    summary: Summary, pair: Estimate | None, steady: Canary | None, resolves: float | None
) -> Iterator[str]:
    """Why no speed of a run should be used."""
    if pair is not None and pair.low is not None and pair.high is not None:
        if pair.low > 1 + OFF or pair.high < 1 / (1 + OFF):
            yield f"the A/A pair, one network under two names, came out as {interval(pair)}"
        elif resolves is not None and resolves > COARSEST:
            yield f"differences below {percent(resolves)} cannot be seen (the A/A pair came out as {interval(pair)})"
    if steady is not None and steady.spread > UNSTEADY:
        yield f"the canary, a fixed workload, varied by {percent(steady.spread)}"
    if steady is not None and steady.off > MOST_OFF:
        yield f"the canary was off its median in {percent(steady.off)} of the rounds"
    if summary.windows and summary.disturbed > MOST_OFF * summary.windows:
        yield f"other programs disturbed {summary.disturbed} of {summary.windows} windows"


def _checks(summary: Summary, pair: Estimate, steady: Canary | None) -> str:
    parts = [f"A/A pair {interval(pair)}"]
    if steady is not None:
        parts.append(
            f"canary varied by {percent(steady.spread)}"
            + (f", off in {steady.rounds_off} rounds" if steady.rounds_off else "")
        )
    if summary.disturbed:
        parts.append(f"{summary.disturbed} of {summary.windows} windows disturbed")
    return ", ".join(parts)


def percent(share: float) -> str:
    """`13 %`, `3.4 %`."""
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"
