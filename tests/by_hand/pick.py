"""Is P(best) of `bench pick` calibrated? 2,000 worlds with known truth, the whole curve.

    python -m tests.by_hand.pick [worlds]

Prints for each objective, by tenths of P(best): how many candidates had it, what was promised and
how often they were the best. The two columns agree within a few points where there are a hundred
candidates or more. Takes about two minutes.
"""

from __future__ import annotations

import random
import sys

import numpy as np

from bench.pick.limits import Objective
from tests.pick_worlds import world


def curve(objective: Objective, worlds: int) -> None:
    """Print promised and kept by tenths of P(best)."""
    draw = random.Random(0)
    every, named = [], []
    for _ in range(worlds):
        one = world(draw)
        found, best = one.answer(objective), one.best(objective)
        every += [(judged.best or 0.0, judged.candidate.name == best) for judged in found.judged]
        if found.likeliest is not None:
            named.append((found.likeliest.best, found.likeliest.candidate.name == best))
    promised, kept = np.array(named, dtype=float).mean(axis=0)
    print(f"\nbest by {objective}: named with {promised:.3f}, right in {kept:.3f} of {len(named)}")
    shares, hits = np.array(every, dtype=float).T
    for low in np.arange(0, 1, 0.1):
        mine = (shares >= low) & (shares < low + 0.1 + (low > 0.85))
        if mine.any():
            print(
                f"  {low:.1f} to {low + 0.1:.1f}: {mine.sum():6d}  promised "
                f"{shares[mine].mean():.3f}  kept {hits[mine].mean():.3f}"
            )


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    curve("top1", number)
    curve("latency", number)
