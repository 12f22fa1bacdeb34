"""Pareto fronts, and the probability of every point to be on the front.

Probabilities are from 2,000 draws. Costs are drawn as ratios to one of them, paired by round and
with the standard errors of bench/stats/mixed_effects.py, so that drift of the machine moves all of
them together; counts are exact. If a cost was timed in a single process, there are no
probabilities. Accuracies are drawn from Student's distribution over seeds, or from the binomial
interval of a single set of weights. A point is on the front of a draw if no other is at least as
cheap and more accurate, or cheaper and at least as accurate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.stats.intervals import Estimate, Z
from bench.stats.paired import effect_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Draws = NDArray[np.float64]

DRAWS = 2000
"""Number of draws for probabilities."""


@dataclass(frozen=True)
class Candidate:
    """A point: a cost and a score, each with its interval.

    `rounds` are the timed values behind the cost by run and round, empty for a count. `seeds` are
    the scores of the training runs, if there are several. Costs and scores may be in any unit.
    """

    cost: Estimate
    score: Estimate
    rounds: Mapping[tuple[str, int], float] = field(default_factory=dict)
    seeds: Sequence[float] = ()


def front(points: Sequence[tuple[float, float]], *, higher: bool) -> list[int]:
    """Return the places of the points (cost, score) that no other beats, from the cheapest on.

    With `higher`, a larger cost is better, as for a throughput.
    """

    def rank(place: int) -> tuple[float, float]:
        cost, score = points[place]
        return (-cost if higher else cost, -score)

    places: list[int] = []
    for place in sorted(range(len(points)), key=rank):
        if not places or points[place][1] > points[places[-1]][1]:
            places.append(place)
    return places


def probabilities(candidates: Sequence[Candidate], *, higher: bool) -> list[float] | None:
    """Return the probability of every candidate to be on the front.

    None if a timed cost has no standard error. With `higher`, a larger cost is better.
    """
    import numpy as np

    random = np.random.default_rng(0)
    costs = _costs(candidates, random)
    if costs is None:
        return None
    scores = np.stack([_scores(candidate, random) for candidate in candidates], axis=1)
    order = np.lexsort((-scores, -costs if higher else costs), axis=1)
    ordered = np.take_along_axis(scores, order, axis=1)
    best_so_far = np.maximum.accumulate(ordered, axis=1)
    beats = np.ones((DRAWS, len(candidates)), dtype=bool)
    beats[:, 1:] = ordered[:, 1:] > best_so_far[:, :-1]
    on_front = np.zeros_like(beats)
    np.put_along_axis(on_front, order, beats, axis=1)
    return list(map(float, on_front.mean(axis=0)))


def _costs(candidates: Sequence[Candidate], random: np.random.Generator) -> Draws | None:
    """Return draws of the costs (draws, candidates), as ratios to the one with the most rounds.

    None if a timed cost has no interval.
    """
    import numpy as np

    base = max(candidates, key=lambda candidate: len(candidate.rounds))
    costs = np.empty((DRAWS, len(candidates)))
    for place, candidate in enumerate(candidates):
        if len(candidate.rounds) < 2:  # counted, or measured once, as memory is
            costs[:, place] = _from_interval(candidate.cost, random)
        elif candidate is base:
            costs[:, place] = candidate.cost.value
        elif candidate.rounds.keys() & base.rounds.keys():
            ratio = effect_of([(1.0, candidate.rounds), (-1.0, base.rounds)])
            if ratio is None:
                return None
            logs = ratio.value + ratio.error * random.standard_t(ratio.freedom, DRAWS)
            costs[:, place] = base.cost.value * np.exp(logs)
        elif candidate.cost.low is None:
            return None
        else:
            costs[:, place] = _from_interval(candidate.cost, random)
    return costs


def _from_interval(value: Estimate, random: np.random.Generator) -> Draws:
    """Draw from the normal distribution with this 95 % interval; the value itself without one."""
    import numpy as np

    if value.half_width is None:
        return np.full(DRAWS, value.value)
    return random.normal(value.value, value.half_width / Z, DRAWS)


def _scores(candidate: Candidate, random: np.random.Generator) -> Draws:
    """Draw the score of a candidate."""
    import numpy as np

    n = len(candidate.seeds)
    if n < 2:
        return _from_interval(candidate.score, random)
    error = float(np.std(candidate.seeds, ddof=1)) / math.sqrt(n)
    return float(np.mean(candidate.seeds)) + error * random.standard_t(n - 1, DRAWS)
