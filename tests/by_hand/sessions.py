"""How often `bench compare` finds a change where only the session of measuring changed.

    python -m tests.by_hand.sessions [--draws 1000] [--seed 0]

Takes about a minute on one core. Eight equal arms and an A/A pair are measured in two sessions, or
in two runs per side. Every session moves every arm by a normal factor of its own, whose spread is
printed, beside noise of 1 % between rounds and as much between processes. There are 16 rounds,
three processes per arm, and the pair is in ten of the rounds. Printed per spread and number of runs
are, of 100 comparisons, those in which anything is called better or worse after Holm's correction
(at most about 6), and the median of what a comparison says it can tell apart.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Iterator
from math import exp

from bench.analysis.changes import Change, Comparison, UnjudgedChange, judged
from bench.analysis.sessions import sessions
from bench.record.values import InProcess
from bench.stats.intervals import Effect, Estimate
from bench.stats.paired import effect_of

ARMS, ROUNDS, LIFE, OF_PAIR = 8, 16, 6, 10
NOISE = 0.01


def arm(
    draw: random.Random, spread: float, rounds: int, runs: int, turn: int
) -> dict[tuple[str, int], InProcess]:
    """Return one arm's rounds in so many sessions, each with a factor of its own.

    Processes are renewed by turns.
    """
    found = {}
    for run in range(runs):
        session = draw.gauss(0, spread)
        own: dict[int, float] = {}
        for number in range(rounds):
            process = (number + turn) // LIFE
            lasting = own.setdefault(process, draw.gauss(0, NOISE))
            found[f"r{run}", number] = InProcess(
                exp(session + lasting + draw.gauss(0, NOISE)), (f"r{run}", process)
            )
    return found


def ratio(
    left: dict[tuple[str, int], InProcess], right: dict[tuple[str, int], InProcess]
) -> Effect:
    """The logarithm of one."""
    found = effect_of([(1.0, left), (-1.0, right)])
    assert found is not None
    return found


def comparison(draw: random.Random, spread: float, runs: int) -> Comparison:
    """Two sides of equal arms."""
    effects, pairs = [], []
    for _ in range(2):
        reference = arm(draw, spread, ROUNDS, runs, 0)
        effects.append(
            [ratio(arm(draw, spread, ROUNDS, runs, 1 + n % 5), reference) for n in range(ARMS - 1)]
        )
        pairs.append(
            [
                ratio(arm(draw, spread, OF_PAIR, 1, 3), arm(draw, spread, OF_PAIR, 1, 0))
                for _ in range(runs)
            ]
        )
    known = sessions(*pairs)
    assert known is not None
    lines = [
        UnjudgedChange(
            Change(str(n), "throughput", "higher", Estimate(1.0)), known.added(before, after)
        )
        for n, (before, after) in enumerate(zip(*effects, strict=True))
    ]
    return judged(lines, known, [], [])


def comparisons(spread: float, draws: int, seed: int, runs: int = 1) -> Iterator[Comparison]:
    """Many of them."""
    draw = random.Random(f"{seed} {spread} {runs}")
    for _ in range(draws):
        yield comparison(draw, spread, runs)


def false_changes(spread: float, draws: int, seed: int, runs: int = 1) -> int:
    """In how many comparisons of equal sides anything changed."""
    return sum(
        any(one.outcome in ("better", "worse") for one in found.changes)
        for found in comparisons(spread, draws, seed, runs)
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(f"{asked.draws} draws, seed {asked.seed}")
    for runs in (1, 3):
        for spread in (0.0, 0.01, 0.02, 0.05):
            found = list(comparisons(spread, asked.draws, asked.seed, runs))
            false = sum(
                any(line.outcome in ("better", "worse") for line in one.changes) for one in found
            )
            told = statistics.median(one.resolves or 0.0 for one in found)
            print(
                f"{runs} runs a side, sessions {spread:.0%}: "
                f"{100 * false / asked.draws:.1f} of 100; tells apart {told:.0%}"
            )


if __name__ == "__main__":
    main()
