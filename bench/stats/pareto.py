"""Pareto fronts and how sure they are: the probability of every point to be on the front.

2,000 draws. Costs are drawn as ratios to one of them, paired by round and as sure as the processes of both make them
(bench/stats/mixed_effects.py), so that drift of the machine moves all together; counts are exact. Where one was timed in a single process
there are no probabilities. Accuracies are drawn from Student's distribution over seeds, or from
the binomial one of a single set of weights. A point is on the front of a draw where none is at least as cheap and more
accurate, or cheaper and as accurate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.stats.intervals import Estimate
from bench.stats.paired import effect_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Draws = NDArray[np.float64]

DRAWS = 2000


@dataclass(frozen=True)
class Candidate:
    """A point: its cost with the rounds behind it (none: an exact count, or what its interval says), its score over seeds.

    `score` is in any unit; `seeds` are the single trainings' where there are several.
    """

    cost: Estimate
    score: Estimate
    rounds: Mapping[tuple[str, int], float] = field(default_factory=dict)
    seeds: Sequence[float] = ()


def front(points: Sequence[tuple[float, float]], *, higher: bool) -> list[int]:
    """Places of the points that no other one beats, from the cheapest on. `higher`: the first number is better when larger."""
    ordered = sorted(
        range(len(points)),
        key=lambda at: (-points[at][0] if higher else points[at][0], -points[at][1]),
    )
    found: list[int] = []
    for at in ordered:
        if not found or points[at][1] > points[found[-1]][1]:
            found.append(at)
    return found


def probabilities(candidates: Sequence[Candidate], *, higher: bool) -> list[float] | None:
    """Of every candidate to be on the front; None where nobody knows how sure a cost is."""
    import numpy as np

    random = np.random.default_rng(0)
    costs = _costs(candidates, random)
    if costs is None:
        return None
    scores = np.stack([_scores(one, random) for one in candidates], axis=1)
    order = np.lexsort((-scores, -costs if higher else costs), axis=1)
    ordered = np.take_along_axis(scores, order, axis=1)
    before = np.maximum.accumulate(ordered, axis=1)
    beats = np.concatenate(
        [np.ones((DRAWS, 1), dtype=bool), ordered[:, 1:] > before[:, :-1]], axis=1
    )
    on = np.zeros_like(beats)
    np.put_along_axis(on, order, beats, axis=1)
    return [float(share) for share in on.mean(axis=0)]


def _costs(candidates: Sequence[Candidate], random: np.random.Generator) -> Draws | None:
    """Draws by candidates, as ratios to the one with the most rounds; None where one that was timed has no interval."""
    import numpy as np

    base = max(candidates, key=lambda one: len(one.rounds))
    found = np.empty((DRAWS, len(candidates)))
    for place, one in enumerate(candidates):
        if len(one.rounds) < 2:  # counted, or measured once, as memory is
            found[:, place] = _from_interval(one.cost, random)
        elif one is base:
            found[:, place] = one.cost.value
        elif one.rounds.keys() & base.rounds.keys():
            ratio = effect_of([(1.0, one.rounds), (-1.0, base.rounds)])
            if ratio is None:
                return None
            found[:, place] = base.cost.value * np.exp(
                ratio.value + ratio.error * random.standard_t(ratio.freedom, DRAWS)
            )
        elif one.cost.low is None:
            return None
        else:
            found[:, place] = _from_interval(one.cost, random)
    return found


def _from_interval(value: Estimate, random: np.random.Generator) -> Draws:
    """A normal distribution as wide as the 95 % interval; the value itself where there is none."""
    import numpy as np

    if value.half_width is None:
        return np.full(DRAWS, value.value)
    return random.normal(value.value, value.half_width / 1.959964, DRAWS)


def _scores(one: Candidate, random: np.random.Generator) -> Draws:
    import numpy as np

    n = len(one.seeds)
    if n < 2:
        return _from_interval(one.score, random)
    error = float(np.std(one.seeds, ddof=1)) / math.sqrt(n)
    return float(np.mean(one.seeds)) + error * random.standard_t(n - 1, DRAWS)
