"""The learning rate at every step: a pure function of the recipe."""

from __future__ import annotations

import math
from itertools import pairwise

from bench.plugins.recipe import Recipe


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Return the rate after `step` of `steps`.

    It rises linearly between the schedule's corners, and falls by the recipe's decay.
    """
    share = step / steps
    for (left, low), (right, high) in pairwise(recipe.schedule):
        if share <= right:
            way = (share - left) / (right - left)
            if recipe.decay == "cosine" and high < low:
                way = (1 - math.cos(math.pi * way)) / 2
            return recipe.learning_rate * (low + (high - low) * way)
    raise AssertionError(f"step {step} of {steps}")
