"""Ranks with intervals: what pairs say of them, and how often all of them hold the truth."""

from __future__ import annotations

import math
import random
from itertools import combinations

import pytest

from bench.stats.intervals import Effect
from bench.stats.rank_intervals import RankInterval, rank_intervals

DRAWS = 400
FREEDOM = 8.0


def lead(value: float, error: float = 1.0) -> Effect:
    return Effect(value, error, FREEDOM, 9)


def texts(items: str, leads: dict[tuple[str, str], Effect | None]) -> str:
    return " ".join(map(str, rank_intervals(items, leads).values()))


def test_items_that_are_told_apart_have_one_rank_each() -> None:
    far = {("a", "b"): lead(-20), ("a", "c"): lead(20), ("b", "c"): lead(40)}
    assert texts("abc", dict(far)) == "2 1 3"
    assert rank_intervals("abc", dict(far))["b"] == RankInterval(1, 1, 3)


def test_items_that_are_not_share_their_ranks() -> None:
    tied = {("a", "b"): lead(0.1), ("a", "c"): lead(20), ("b", "c"): lead(20)}
    assert texts("abc", dict(tied)) == "1–2 1–2 3"
    assert texts("abc", dict.fromkeys(tied)) == "1–3 1–3 1–3"


def test_a_pair_without_an_interval_widens_and_is_counted() -> None:
    known = {("a", "b"): None, ("a", "c"): lead(20), ("b", "c"): lead(20)}
    assert texts("abc", known) == "1–2 1–2 3"
    # 2.4 errors are p = 0.043: enough for one pair, not for one of three.
    assert texts("ab", {("a", "b"): lead(2.4)}) == "1 2"
    assert texts("abc", {("a", "b"): lead(2.4), ("a", "c"): None, ("b", "c"): None}).startswith(
        "1–3"
    )


@pytest.mark.parametrize("gap", [0.0, 0.5, 2.0])
def test_all_intervals_hold_the_true_ranks_at_once(gap: float) -> None:
    """In at least 95 of 100 draws, whether items are equal or apart; 3 standard errors below."""
    draw = random.Random(1)
    items = range(6)
    held = 0
    for _ in range(DRAWS):
        # Each item's mean of nine normal values; a pair's error is that of the difference.
        drawn, spreads = {}, {}
        for item in items:
            values = [draw.gauss(-gap * item, 1) for _ in range(9)]
            mean = sum(values) / 9
            drawn[item] = mean
            spreads[item] = sum((value - mean) ** 2 for value in values) / 8 / 9
        leads: dict[tuple[int, int], Effect | None] = {}
        for one, other in combinations(items, 2):
            error = math.sqrt(spreads[one] + spreads[other])
            leads[one, other] = lead(drawn[one] - drawn[other], error)
        found = rank_intervals(list(items), leads)
        # Equal items may have any rank: their interval must have room for all of them.
        truths = {item: (1, 6) if gap == 0 else (item + 1, item + 1) for item in items}
        held += all(
            found[item].best <= low and high <= found[item].worst
            for item, (low, high) in truths.items()
        )
    least = 0.95 - 3 * math.sqrt(0.95 * 0.05 / DRAWS)
    assert held / DRAWS >= least, held / DRAWS
    if gap == 2.0:
        assert all(rank.best == rank.worst for rank in found.values())
