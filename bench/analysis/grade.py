"""The grade of a run: whether its speeds can be believed, as a word and a sentence printed first.

Three checks come with every run: the A/A check (one network under two names, whose ratio must be
1), the drift check (a fixed workload that must stay as fast as it was), and the share of windows
during which other programs were using the CPU. If one fails, or was not made, tables still show
their numbers but rank nothing: no bold, no ≈, no percentages on fronts, no verdicts on speeds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

from bench.analysis.rows import Row, Summary
from bench.analysis.run_quality import TIMED, Canary, canary, sentinel
from bench.stats.formatting import interval
from bench.stats.intervals import Estimate
from bench.stats.reference import sentinel_size

Word = Literal["good", "coarse", "unchecked", "do not use"]
ORDER: tuple[Word, ...] = ("good", "coarse", "unchecked", "do not use")
FINE = 0.05
"""A run that resolves smaller differences is good: papers argue about five to ten per cent."""
COARSEST = 0.25
"""Models of one budget mostly differ by less, so a run that needs more ranks next to nothing."""
OFF = 0.02
"""How far from 1 an A/A interval may stay. One in twenty sound intervals misses 1, nearly always by
less; `verify` allows as much."""
UNSTEADY = 0.30
"""Spread of the drift check (5th to 95th percentile, of its median) above which the rounds show the
machine in more than one state. On two shared cores, 27 % came with an A/A interval near 1, 43 %
with one of [0.80, 1.06]."""
MOST_OFF = 0.5
"""Share of rounds in which the drift check may be off, and of windows during which other programs
may use the CPU: above it, the exception is the rule."""


@dataclass(frozen=True)
class Grade:
    """What a run's own checks say of its speeds.

    `resolves` is the smallest difference that the run can resolve, as a share; None if unknown.
    """

    word: Word
    line: str
    resolves: float | None = None
    reason: str = ""
    """The first reason why nothing may be ranked, in few words; empty if speeds may be."""

    @property
    def marks(self) -> bool:
        """True if speeds may be ranked: bold, ≈, percentages on fronts, verdicts."""
        return self.word in ("good", "coarse")

    def of(self, subject: str) -> Grade:
        """Return the same grade with its subject before the sentence."""
        return replace(self, line=f"{subject}: {self.line}")


def grade(summary: Summary, size: int) -> Grade:
    """Return the grade of the speeds at one image size, by the A/A check of that size."""
    return _grade(summary, sentinel(summary, sentinel_size(size)))


def grades(summary: Summary) -> dict[int, Grade]:
    """Return the grade of every image size at which a speed was measured, the largest first."""
    timed = set()
    for row in chain(summary.rows, summary.best):
        if _is_timed(row):
            timed.add(row.image_size)
    return {size: grade(summary, size) for size in sorted(timed, reverse=True)}


def _is_timed(row: Row) -> bool:
    return any(quantity.metric in TIMED for quantity in row.fair)


def severity(found: Grade) -> int:
    """Return 0 for a good grade, more for a worse one."""
    return ORDER.index(found.word)


def worst(summary: Summary, sizes: Collection[int] | None = None) -> Grade | None:
    """Return the worst grade of the image sizes named, or of all; None without speeds there."""
    found = grades(summary)
    considered = [one for size, one in found.items() if sizes is None or size in sizes]
    return max(considered, key=severity, default=None)


def lines(summary: Summary) -> list[str]:
    """Return the sentences to print before speeds: one, or one per image size if they differ."""
    found = grades(summary)
    different = list(dict.fromkeys(one.line for one in found.values()))
    if len(different) < 2:
        return different
    return [one.of(f"{size} px").line for size, one in found.items()]


def _grade(summary: Summary, pair: Estimate | None) -> Grade:
    steady = canary(summary)
    resolves = _far_end(pair)
    reasons = list(_reasons(summary, pair, steady, resolves))
    if reasons:
        line = f"do not use: {'; '.join(reasons)}"
        return Grade("do not use", line, resolves, reasons[0])
    if pair is None or resolves is None:
        why = _why_unchecked(pair)
        short = why.partition(",")[0]
        return Grade("unchecked", f"unchecked: {why}; nothing is ranked", reason=short)
    word: Word = "good" if resolves <= FINE else "coarse"
    checks = ", ".join(_checks(summary, pair, steady))
    line = f"{word}: this run can resolve differences of {percent(resolves)} ({checks})"
    return Grade(word, line, resolves)


def _why_unchecked(pair: Estimate | None) -> str:
    if pair is None:
        return "there is no A/A check, so it is unknown which differences this run can resolve"
    return (
        f"the A/A check has no interval ({interval(pair)}), so it is unknown which differences "
        "this run can resolve"
    )


def _far_end(pair: Estimate | None) -> float | None:
    """Return how far from 1 the A/A interval reaches, by bias and width together."""
    if pair is None or not pair.low or pair.high is None:
        return None
    return max(pair.high, 1 / pair.low) - 1


def _reasons(
    summary: Summary, pair: Estimate | None, steady: Canary | None, resolves: float | None
) -> Iterator[str]:
    """Yield every reason not to use any speed of a run."""
    if pair is not None and pair.low is not None and pair.high is not None:
        if pair.low > 1 + OFF or pair.high < 1 / (1 + OFF):
            yield f"the A/A check, one network under two names, gave {interval(pair)} instead of 1"
        elif resolves is not None and resolves > COARSEST:
            yield (
                f"differences below {percent(resolves)} cannot be resolved "
                f"(the A/A check gave {interval(pair)})"
            )
    if steady is not None and steady.spread > UNSTEADY:
        yield f"the drift check, a fixed workload, varied by {percent(steady.spread)}"
    if steady is not None and steady.off > MOST_OFF:
        yield f"the drift check was off its median in {percent(steady.off)} of the rounds"
    if summary.windows and summary.disturbed > MOST_OFF * summary.windows:
        yield _others(summary)


def _others(summary: Summary) -> str:
    return f"other programs were using the CPU in {summary.disturbed} of {summary.windows} windows"


def _checks(summary: Summary, pair: Estimate, steady: Canary | None) -> Iterator[str]:
    """Yield the outcome of every check."""
    yield f"A/A check {interval(pair)}"
    if steady is not None:
        yield f"drift check varied by {percent(steady.spread)}"
        if steady.rounds_off:
            yield f"off in {steady.rounds_off} rounds"
    if summary.disturbed:
        yield _others(summary)


def percent(share: float) -> str:
    """Return `13 %` or `3.4 %`."""
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"
