"""The probability of each of several candidates to be the best within limits.

Draws of everything that is uncertain, of all candidates together: in each draw the candidates
within the limits are found, and the best of them. A candidate's probability is the share of draws
in which it is that one.

Timed quantities are drawn on the scale of logarithms, each from Student's distribution around the
median that tables show (a few disturbed rounds move the mean), with the standard error and degrees
of freedom of bench/stats/mixed_effects.py, so that the spread between processes counts. Candidates
that were measured in the same rounds are correlated by what moved all of them alike: the
correlation of two is the one with which the standard error of their difference is that of the
paired ratio. tests/test_choice.py holds the probabilities against draws of worlds whose truth is
known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from bench.stats.intervals import Effect
from bench.stats.paired import Rounds, effect_of, effect_of_median

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Draws = NDArray[np.float64]

DRAWS = 4000
AT_ONCE = 200
"""Draws of questions that are held in memory at a time."""
MOST_ALIKE = 0.9999
"""Largest correlation of two candidates: with 1 they would be one."""


def log_levels(timed: Sequence[Rounds[Any]], random: np.random.Generator) -> Draws | None:
    """Return draws of the logarithms of timed quantities (draws, candidates).

    `timed` has one value per round of each candidate. None if one of them has no standard error:
    fewer than six rounds, or a single process.
    """
    import numpy as np
    from scipy.special import ndtr, stdtrit

    effects: list[Effect] = []
    medians: list[Effect] = []
    for rounds in timed:
        effect, median = effect_of([(1.0, rounds)]), effect_of_median(rounds)
        if effect is None or median is None:
            return None
        effects.append(effect)
        medians.append(median)
    if not effects:
        return np.empty((DRAWS, 0))
    normal = random.standard_normal((DRAWS, len(effects))) @ _root(correlations(timed, effects)).T
    shares = np.clip(ndtr(normal), 1e-12, 1 - 1e-12)
    levels = np.empty_like(shares)
    for place, effect in enumerate(medians):
        off = stdtrit(effect.freedom, shares[:, place])
        levels[:, place] = effect.value + effect.error * off
    return levels


def correlations(timed: Sequence[Rounds[Any]], effects: Sequence[Effect]) -> Draws:
    """Return the correlations of the errors (candidates, candidates) of levels in logarithms."""
    import numpy as np

    found = np.eye(len(timed))
    for one, other in combinations(range(len(timed)), 2):
        ratio = effect_of([(1.0, timed[one]), (-1.0, timed[other])])
        both = effects[one].error * effects[other].error
        if ratio is not None and both > 0:
            shared = effects[one].error ** 2 + effects[other].error ** 2 - ratio.error**2
            alike = min(max(shared / (2 * both), 0.0), MOST_ALIKE)
            found[one, other] = found[other, one] = alike
    return found


def _root(correlation: Draws) -> Draws:
    """Return a matrix whose product with its transpose is the nearest sound correlation."""
    import numpy as np

    sizes, directions = np.linalg.eigh(correlation)
    root: Draws = directions * np.sqrt(np.clip(sizes, 0.0, None))
    scale: Draws = 1 / np.linalg.norm(root, axis=1)
    return root * scale[:, None]


def one_of(values: Sequence[float], random: np.random.Generator) -> Draws:
    """Return draws of one of some values, each as likely (draws,)."""
    import numpy as np

    return random.choice(np.asarray(values, dtype=float), DRAWS)


def resampled(right: Sequence[Sequence[bool]], random: np.random.Generator) -> Draws:
    """Return draws of shares of right answers to the same questions (draws, candidates).

    `right` has the answers of each candidate. The questions are drawn anew, the same ones for all.
    """
    import numpy as np

    answers = np.asarray(right, dtype=float).T
    number = len(answers)
    each = np.full(number, 1 / number)
    shares = np.empty((DRAWS, answers.shape[1]))
    for part in np.array_split(shares, DRAWS // AT_ONCE):
        part[:] = random.multinomial(number, each, len(part)) @ answers / number
    return shares


def winners(within: Any, keys: Sequence[Draws]) -> Any:
    """Return the place of the best candidate of each draw (draws,); -1 if none is within.

    `within` (draws, candidates) is True within the limits. The lowest first key is best; later keys
    (draws, candidates) decide between equal ones.
    """
    import numpy as np

    left = np.array(within, dtype=bool)
    for key in keys:
        shown = np.where(left, key, math.inf)
        left &= shown <= shown.min(axis=1, keepdims=True)
    return np.where(left.any(axis=1), left.argmax(axis=1), -1)


def shares_of(winner: Any, candidates: int) -> list[float]:
    """Return the share of the draws that each candidate wins."""
    import numpy as np

    won = np.bincount(winner[winner >= 0], minlength=candidates)
    return list(map(float, won / len(winner)))
