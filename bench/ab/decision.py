"""Whether head is slower than base: a rule with three fixed looks that keeps its promise of 5 %.

The base is measured twice, in processes of their own, and head is compared with the mean of both.
The difference of the two is the A/A check, which is independent of that comparison.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bench.record.values import InProcess
from bench.stats.intervals import Effect, Estimate
from bench.stats.paired import effect_of

LOOKS = ((0.35, 0.005), (0.65, 0.01), (1.0, 0.035))
"""Shares of the time at which the data are looked at, and the probability that each look spends.

They add up to 5 % (Bonferroni), however the looks depend on each other. The first ones cost the
last one little and end a comparison early whose difference is plain."""
CHECK = 0.01
"""The level of the A/A check. It can only forbid a decision, and at 5 % would forbid one in twenty
on a machine without fault."""
MARGIN = 0.05
"""Differences up to this share are SAME, unless --fail-on-slower says otherwise."""
MOST_LONGER = 50.0
"""Times as long that a comparison would have to be, beyond which that is not said."""

Word = Literal["SLOWER", "FASTER", "SAME", "UNDECIDED"]
Arm = Literal["base", "again", "head"]
ARMS: tuple[Arm, ...] = ("base", "again", "head")
Rounds = Mapping[Arm, Mapping[int, InProcess]]
"""Seconds per call by arm and round; `again` is the base in processes of its own."""


@dataclass(frozen=True)
class Decision:
    """What the rounds so far say.

    `ratio` is head's time over base's with the interval of the look's `level`, `check` that of the
    base over itself; both are None where there are too few rounds or processes.
    """

    word: Word
    ratio: Estimate | None
    check: Estimate | None
    level: float
    longer: float | None = None
    """For UNDECIDED: how many times as long the comparison would have to be."""

    @property
    def checked(self) -> bool:
        """True if the base came out as fast as itself."""
        return self.check is not None and self.check.holds(1.0)

    @property
    def within(self) -> float | None:
        """The share by which the two differ at most, by the interval's farther end."""
        if self.ratio is None or self.ratio.low is None or self.ratio.high is None:
            return None
        return max(1 - self.ratio.low, self.ratio.high - 1, 0.0)


def effect(rounds: Rounds) -> Effect | None:
    """Return the logarithm of head's time over the base's, paired by round."""
    return effect_of([(1.0, rounds["head"]), (-0.5, rounds["base"]), (-0.5, rounds["again"])])


def check_effect(rounds: Rounds) -> Effect | None:
    """Return the logarithm of the base's time over its own."""
    return effect_of([(1.0, rounds["again"]), (-1.0, rounds["base"])])


def decide(rounds: Rounds, look: int, *, margin: float, comparisons: int = 1) -> Decision:
    """Return the decision at a look, counted from 0.

    `margin` is the share up to which a difference is none. Of several `comparisons` of one command
    each has its part of the 5 %.
    """
    level = LOOKS[look][1] / comparisons
    found, check = effect(rounds), check_effect(rounds)
    if found is None or check is None:
        return Decision("UNDECIDED", None, None, level)
    ratio = found.as_ratio_at(level)
    word = _word(ratio, margin)
    checked = check.as_ratio_at(CHECK / comparisons)
    if not checked.holds(1.0):
        return Decision("UNDECIDED", ratio, checked, level)
    longer = _longer(found, margin, comparisons) if word == "UNDECIDED" else None
    return Decision(word, ratio, checked, level, longer)


def _word(ratio: Estimate, margin: float) -> Word:
    assert ratio.low is not None and ratio.high is not None
    if not ratio.holds(1.0):
        return "SLOWER" if ratio.value > 1 else "FASTER"
    within = -margin < ratio.low - 1 and ratio.high - 1 < margin
    return "SAME" if within else "UNDECIDED"


def _longer(found: Effect, margin: float, comparisons: int) -> float | None:
    """Return how many times as long a comparison settles it, if the ratio stays as it is.

    That is until the interval excludes 1, or lies within the margin, whichever comes first; its
    width falls with the square root of time.
    """
    half = found.half_width(LOOKS[-1][1] / comparisons)
    needed = max(abs(found.value), math.log1p(margin) - abs(found.value))
    longer = (half / needed) ** 2
    return max(1.0, longer) if longer < MOST_LONGER else None
