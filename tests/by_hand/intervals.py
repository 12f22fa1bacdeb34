"""Test intervals and decisions on random draws whose truth is known.

    python -m tests.by_hand.intervals [--draws 4000] [--seed 0]

Shows how often an interval contains the truth, and how often equal things are told apart. Takes
about ten minutes on one core. Rounds have a noise of 1, processes a spread of 0, half of it and as
much (and twice: beyond what was asked for); each arm is renewed by turns as `bench run` does it.
Printed are shares in per cent:

- coverage of the 95 % interval of a ratio, two to four processes per side, by turns and at once: 93
  to 97;
- tables of eight equal arms in which anything is told apart after Holm's correction: at most 6;
- coverage where `--target-ci` ends a run at the second look at which the interval is narrow enough,
  and the share of runs that got there: 93 to 97;
- verdicts where the truth lies at the region's end, decided: at most 7;
- the same of a study that is measured again until it is decided, twenty times at most: at most 7;
- one process per side: never an interval.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace

import numpy as np

from bench.claims.rules import Finding, judge
from bench.forecast.round_rules import FIRST_LOOK, PROCESSES
from bench.run.rounds.stop_rule import LOOKS
from bench.stats.intervals import Effect, holm
from bench.stats.mixed_effects import Side, mean_over

from ..drawn import by_turns, draw_rounds, share_held

SPREADS = (0.0, 0.5, 1.0, 2.0)
TURNS = (0.0, 0.5, 0.25, 0.75, 0.125, 0.625, 0.375, 0.875)


def sides(rounds: int, life: int, turn: float = 0.5) -> tuple[Side, Side]:
    """Two arms."""
    return ((1.0, by_turns(rounds, life)), (-1.0, by_turns(rounds, life, turn)))


def coverage(draw: np.random.Generator, draws: int) -> None:
    for turn, how in ((0.5, "by turns"), (0.0, "at once")):
        for processes in (2, 3, 4):
            for life in (3, 6):
                shares = [
                    100 * share_held(draw, sides(processes * life, life, turn), spread, draws)
                    for spread in SPREADS
                ]
                print(
                    f"coverage, {how}, {processes} processes of {life} rounds: {told(shares)}",
                    flush=True,
                )


def alarms(draw: np.random.Generator, draws: int) -> None:
    for processes in (2, 3, 4):
        shares = [
            100 * sum(_table(draw, processes, spread) for _ in range(draws)) / draws
            for spread in SPREADS
        ]
        print(
            f"eight equal arms, {processes} processes of 6 rounds, "
            f"anything told apart: {told(shares)}",
            flush=True,
        )


def _table(draw: np.random.Generator, processes: int, spread: float) -> bool:
    rounds, arms = 6 * processes, []
    for turn in TURNS:
        gave = by_turns(rounds, 6, turn)
        arms.append(
            (
                gave,
                draw.normal(0, math.sqrt(0.5), rounds) + draw.normal(0, spread, rounds)[list(gave)],
            )
        )
    found = {}
    for place, (gave, values) in enumerate(arms[1:]):
        effect = mean_over.__wrapped__(
            tuple(values - arms[0][1]), ((1.0, gave), (-1.0, arms[0][0]))
        )
        assert effect is not None
        found[place] = effect.p(0.0)
    return min(holm(found).values()) < 0.05


def targets(draw: np.random.Generator, draws: int) -> None:
    looks = [FIRST_LOOK]
    while looks[-1] < 76:
        looks.append(math.ceil(looks[-1] * LOOKS))
    for typical in (13, 27, 54):
        shares, reached = [], []
        for spread in SPREADS:
            target = float(
                np.median(
                    [
                        _effect(
                            draw_rounds(draw, sides(typical, 3), spread), typical
                        ).estimate.half_width
                        for _ in range(200)
                    ]
                )
            )
            ends = [
                _ended(draw_rounds(draw, sides(looks[-1], 3), spread), looks, target)
                for _ in range(draws)
            ]
            shares.append(100 * sum(effect.p(0.0) >= 0.05 for effect, _ in ends) / draws)
            reached.append(100 * sum(there for _, there in ends) / draws)
        print(
            f"coverage with a target that is usual at round {typical}: {told(shares)}; "
            f"reached: {told(reached)}",
            flush=True,
        )


def _effect(values: tuple[float, ...], rounds: int) -> Effect:
    found = mean_over.__wrapped__(values[:rounds], sides(rounds, 3))
    assert found is not None
    return found


def _ended(values: tuple[float, ...], looks: list[int], target: float) -> tuple[Effect, bool]:
    narrow = False
    for look in looks:
        found = mean_over.__wrapped__(values[:look], sides(look, 3))
        if (
            found is None
            or (found.processes or 0) < PROCESSES
            or (found.estimate.half_width or math.inf) > target
        ):
            continue
        if narrow:
            return found, True
        narrow = True
    return _effect(values, looks[-1]), False


def verdicts(draw: np.random.Generator, draws: int) -> None:
    """Of a ratio whose truth is the region's end, in rounds of 2 % noise."""
    for spread in (0.02, 0.05):
        decided = sum(
            _is_decided(mean_over.__wrapped__(_scaled(draw, 18, spread), sides(18, 6)))
            for _ in range(draws)
        )
        again = sum(decided_at(draw, spread, 20) is not None for _ in range(draws // 4))
        print(
            f"at the region's end, process spread {100 * spread:g} %: "
            f"decided {100 * decided / draws:.1f}; measured again until "
            f"decided, twenty times: {400 * again / draws:.1f}",
            flush=True,
        )


def _scaled(draw: np.random.Generator, rounds: int, spread: float) -> tuple[float, ...]:
    return tuple(0.02 * value for value in draw_rounds(draw, sides(rounds, 6), spread / 0.02))


def _is_decided(effect: Effect | None) -> bool:
    [found] = judge([Finding(what="", unit="×", region=(1.0, math.inf), effect=effect)])
    return found.outcome != "inconclusive"


def decided_at(draw: np.random.Generator, spread: float, most: int) -> int | None:
    """Return the run after which a study whose truth lies at the region's end is decided.

    Each run has processes of its own.
    """
    values: tuple[float, ...] = ()
    left: tuple[tuple[int, int], ...] = ()
    right = left
    for run in range(most):
        values += _scaled(draw, 18, spread)
        left += tuple((run, one) for one in by_turns(18, 6))
        right += tuple((run, one) for one in by_turns(18, 6, 0.5))
        effect = mean_over.__wrapped__(values, ((1.0, left), (-1.0, right)))
        if effect is not None and _is_decided(replace(effect, runs=run + 1)):
            return run + 1
    return None


def told(shares: list[float]) -> str:
    return ", ".join(
        f"spread {spread:g}: {share:.1f}" for spread, share in zip(SPREADS, shares, strict=True)
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(f"{given.draws} draws each, seed {given.seed}")
    draw = np.random.default_rng(given.seed)
    for one in (coverage, alarms, targets, verdicts):
        one(draw, given.draws)
    single = mean_over(draw_rounds(draw, sides(30, 30, 0.0), 1.0), sides(30, 30, 0.0))
    print(f"one process a side: {'no interval' if single is None else 'AN INTERVAL'}")


if __name__ == "__main__":
    main()
