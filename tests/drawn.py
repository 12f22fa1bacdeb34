"""Rounds of processes that differ, drawn: what shows how often an interval holds the truth."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from bench.stats.mixed_effects import Side, mean_over


def by_turns(rounds: int, life: int, turn: float = 0.0) -> tuple[int, ...]:
    """Return the number of the process of each round.

    Each process lives for `life` rounds; the first one has `turn` of its life behind it.
    """
    return tuple((at + round(turn * life)) // life for at in range(rounds))


def draw_rounds(
    draw: np.random.Generator, sides: tuple[Side, ...], spread: float
) -> tuple[float, ...]:
    """Return one value per round; their true value is 0.

    Noise between rounds has a spread of 1, and between the processes of each side of `spread`.
    """
    values = draw.normal(0, 1, len(sides[0][1]))
    for weight, processes in sides:
        effects: dict[Hashable, float] = {
            one: draw.normal(0, spread) for one in dict.fromkeys(processes)
        }
        values += weight * np.array([effects[one] for one in processes])
    return tuple(values)


def share_held(
    draw: np.random.Generator, sides: tuple[Side, ...], spread: float, draws: int
) -> float:
    """In how many of so many draws the 95 % interval holds the truth."""
    held = 0
    for _ in range(draws):
        found = mean_over.__wrapped__(draw_rounds(draw, sides, spread), sides)
        assert found is not None
        held += found.p(0.0) >= 0.05
    return held / draws
