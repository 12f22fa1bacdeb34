"""The learning-rate search: the same trials for every model, judged on the validation split.

Seven rates, evenly spaced on a logarithmic scale, from 1/32 to 3 times the recipe's. If the best
one lies on an edge, the grid is extended once by two rates beyond it; if it still does, the choice
is marked. The test split is never used.
"""

from __future__ import annotations

from collections.abc import Mapping

LOW, HIGH, NUMBER, MORE = 1 / 32, 3.0, 7, 2
STEP = (HIGH / LOW) ** (1 / (NUMBER - 1))
AS_IS, TRIAL = "as is", "trial"
"""Names in records of a recipe used without a search, and of a training run of a search."""
PROTOCOL = f"learning rate of {NUMBER}+{MORE} on select"


def grid() -> list[float]:
    """Return the factors of the recipe's rate that are tried with every model, ascending."""
    return [LOW * STEP**number for number in range(NUMBER)]


def extension(scores: Mapping[float, float]) -> list[float]:
    """Return two more factors beyond the edge of the grid on which the best one lies, or none.

    `scores` are validation accuracies by factor, of the whole grid; -1 for a training run that
    failed.
    """
    first = grid()
    top = best({factor: scores[factor] for factor in first})
    if top == first[0]:
        return [first[0] / STEP**number for number in range(1, MORE + 1)]
    if top == first[-1]:
        return [first[-1] * STEP**number for number in range(1, MORE + 1)]
    return []


def best(scores: Mapping[float, float]) -> float:
    """Return the factor with the highest score, the smallest one of equals."""
    return max(sorted(scores), key=lambda factor: scores[factor])


def on_edge(scores: Mapping[float, float]) -> bool:
    """True if the best factor is the smallest or the largest that was tried."""
    return best(scores) in (min(scores), max(scores))
