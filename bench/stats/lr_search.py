"""The learning-rate search: the same trials for every model, chosen on the select split, never on the test split.

Seven rates, evenly spaced on a logarithmic scale, from 1/32 to 3 times the recipe's. Where the best lies on an edge the
grid is extended once beyond it, by two; where it still does, the choice is marked.
"""

from __future__ import annotations

from collections.abc import Mapping

LOW, HIGH, NUMBER, MORE = 1 / 32, 3.0, 7, 2
STEP = (HIGH / LOW) ** (1 / (NUMBER - 1))
AS_IS, TRIAL = "as is", "trial"
"""How records call a recipe that nothing was searched for, and a training that the search only tries."""
PROTOCOL = f"learning rate of {NUMBER}+{MORE} on select"


def grid() -> list[float]:
    """Factors of the recipe's rate that everybody tries, ascending."""
    return [LOW * STEP**number for number in range(NUMBER)]


def extension(scores: Mapping[float, float]) -> list[float]:
    """Further factors to try once all of the grid are known: two beyond the edge where the best one lies, or none.

    `scores` are select accuracies by factor; a training that failed counts as -1.
    """
    first = grid()
    top = best({factor: scores[factor] for factor in first})
    if top == first[0]:
        return [first[0] / STEP**number for number in range(1, MORE + 1)]
    if top == first[-1]:
        return [first[-1] * STEP**number for number in range(1, MORE + 1)]
    return []


def best(scores: Mapping[float, float]) -> float:
    """The factor with the highest score; of equals the smallest."""
    return max(sorted(scores), key=lambda factor: scores[factor])


def on_edge(scores: Mapping[float, float]) -> bool:
    """Whether the best of all that were tried lies at an end of them."""
    return best(scores) in (min(scores), max(scores))
