"""Ranks with intervals that hold together: how many items may be better, how many worse.

An item's best rank is 1 plus the number of items that are told apart from it as better; its worst
rank leaves room below for those that are told apart as worse. With p-values of all pairs corrected
together (Holm 1979), all intervals contain the true ranks at once in 95 of 100 draws: the
simultaneous confidence sets of Mogstad, Romano, Shaikh and Wilhelm (2024, Review of Economic
Studies 91, section 3) and of Klein, Wright and Wieczorek (2020, JRSS A 183).
tests/test_rank_intervals.py has the draws.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bench.stats.intervals import ALPHA, Effect, holm

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class RankInterval:
    """The ranks that an item may have among `of` items, where 1 is the best."""

    best: int
    worst: int
    of: int

    def __str__(self) -> str:
        return f"{self.best}" if self.best == self.worst else f"{self.best}–{self.worst}"


def rank_intervals(
    items: Sequence[K], leads: Mapping[tuple[K, K], Effect | None]
) -> dict[K, RankInterval]:
    """Return the 95 % rank interval of each item; all hold together.

    `leads` has, once for every pair of items, how far the first is ahead of the second: above 0 if
    it is better. A pair without an effect is told apart by nothing, which widens intervals.
    """
    known: dict[tuple[K, K], Effect] = {}
    for pair, lead in leads.items():
        if lead is not None:
            known[pair] = lead
    # A pair that was not measured is counted: it might be told apart if it were.
    p_values = {pair: known[pair].p(0.0) if pair in known else 1.0 for pair in leads}
    above, below = dict.fromkeys(items, 0), dict.fromkeys(items, 0)
    for pair, p in holm(p_values).items():
        if p < ALPHA:
            ahead, behind = pair if known[pair].value > 0 else pair[::-1]
            below[ahead] += 1
            above[behind] += 1
    most = len(items)
    return {item: RankInterval(1 + above[item], most - below[item], most) for item in items}
