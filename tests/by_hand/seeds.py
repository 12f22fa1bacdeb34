"""Intervals over few seeds with a common variance: coverage, false verdicts, and what they tell.

    python -m tests.by_hand.seeds [--draws 2000]

Draws configurations whose seeds spread equally, by a factor that varies (standard deviation of its
logarithm 0.35), by 1 and 2 in turns, or by 1 with a single configuration of 3, and compares pairs
of equal means by `bench.stats.intervals.contrast`. Printed for each: the share of 95 % intervals
that contain the truth, the share at Holm's first level of eight findings (99.4 %), and the median
half-width in standard deviations, with the same for Welch's interval. About a minute.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Callable

from bench.stats.intervals import Effect, difference
from bench.stats.seed_variance import Seeds, common_variance

SPREADS: dict[str, Callable[[random.Random, int], float]] = {
    "equal": lambda draw, at: 1.0,
    "varying": lambda draw, at: draw.lognormvariate(0, 0.35),
    "1 and 2": lambda draw, at: 2.0 if at % 2 else 1.0,
    "one of 3": lambda draw, at: 3.0 if at == 0 else 1.0,
}
STRICT = 0.05 / 8


def pair(draw: random.Random, arms: int, seeds: int, kind: str) -> tuple[Effect, Effect]:
    """Return the difference of the first two configurations, and Welch's."""
    groups: list[list[float]] = []
    for at in range(arms):
        spread = SPREADS[kind](draw, at)
        groups.append([draw.gauss(0, spread) for _ in range(seeds)])
    common = common_variance(groups)
    left, right = (Seeds(group, common) for group in groups[:2])
    moderated, welch = difference(left, right), difference(groups[0], groups[1])
    assert moderated is not None and welch is not None
    return moderated, welch


def covered(effects: list[Effect], level: float) -> float:
    """Return the share of intervals that contain the truth, which is 0."""
    return statistics.fmean(abs(effect.value) <= effect.half_width(level) for effect in effects)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    options = parser.parse_args()
    print("seeds  configurations  spread     95 %   99.4 %  half-width   Welch: 95 %  half-width")
    for seeds in (2, 3, 5):
        for arms in (12, 40):
            for kind in SPREADS:
                draw = random.Random(0)
                drawn = [pair(draw, arms, seeds, kind) for _ in range(options.draws)]
                moderated, welch = map(list, zip(*drawn, strict=True))
                halves = [
                    statistics.median(effect.half_width(0.05) for effect in effects)
                    for effects in (moderated, welch)
                ]
                print(
                    f"{seeds:5}  {arms:14}  {kind:9}  {covered(moderated, 0.05):5.1%}  "
                    f"{covered(moderated, STRICT):6.1%}  {halves[0]:10.2f}        "
                    f"{covered(welch, 0.05):5.1%}  {halves[1]:10.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
