"""The mean over rounds where both rounds and processes differ, and how sure it is: pure functions of numbers.

Every round's value is the truth, plus what is peculiar to the processes that gave it, plus noise. Ten rounds of a process
that happens to be quick say the same thing ten times, so the sureness follows the number of processes.

Two mean squares carry it: `between` processes, which holds their spread and the noise of rounds, and `within` them, which
holds the noise alone. The mean of all n rounds varies by r times what is between and 1/n - r times what is within, where r
is that of the layout (which processes met which). Where every round's processes are renewed at once that is
`between / n` alone and Student's interval of the processes' means, exactly. Where they are renewed by turns, more is
known of their spread: about 2k - 2 degrees of freedom from k processes a side, not k - 1. What is taken off for the noise
is never more than would be right if processes did not differ at all (the variance is at least `between / n`). Degrees of
freedom are Satterthwaite's (1946) for processes whose spread is large, whatever it seems to be: with those of the spread
that was found the interval is narrower and held the truth in 91 to 93 of 100 draws of two processes a side.

Why this one: docs/METHOD.md, with figures; draws that show it: tests/by_hand/intervals.py and tests/test_mixed.py.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bench.stats.intervals import ROUNDS_FOR_INTERVAL, Effect

Side = tuple[float, tuple[Hashable, ...]]
"""What a value is made of: how much of it one arm is (1 and -1 in the logarithm of a ratio), and its process in every round."""
FEWEST = 2
"""Processes that each side needs: of one nobody knows how the next would be."""
OUTLYING = 3.0
"""A round further than so many robust standard deviations from what its processes give is drawn in to there."""
EXACT = 1e-24
"""Variances of logarithms below this are the last digits of floats."""
OF_MEDIANS = math.pi / 2
"""How much more the median of normal values varies than their mean."""


def fewest(sides: Sequence[Side]) -> int:
    """The number of processes on the side that had the fewest; 0 where it is not known for some round."""
    return min(
        (len(set(processes)) if None not in processes else 0 for _, processes in sides), default=0
    )


@lru_cache(
    maxsize=65536
)  # a report asks for the same ratio in its tables, its figures and its studies
def mean_over(
    values: tuple[float, ...], sides: tuple[Side, ...], noise: float = 1.0
) -> Effect | None:
    """The mean of one value per round; None below six rounds or with fewer than two processes on a side.

    `noise`: how much more than for a mean the rounds' own noise counts (`OF_MEDIANS`).
    """
    if len(values) < ROUNDS_FOR_INTERVAL or fewest(sides) < FEWEST:
        return None
    layout = _layout(sides)
    mean, between, within = layout.split(_drawn_in(values, layout))
    n, r = len(values), layout.share
    least = min(noise / n, r) * between
    variance = (
        max(r * between + (noise / n - r) * within, least)
        if within is not None
        else max(r, noise / n) * between
    )
    if variance < EXACT:
        return Effect(round(mean, 12), 0.0, layout.freedom, n, fewest(sides))
    return Effect(mean, math.sqrt(variance), layout.freedom, n, fewest(sides))


def centre(values: tuple[float, ...], sides: tuple[Side, ...]) -> float:
    """The same mean, however few rounds and processes there are."""
    import numpy as np

    if None in [one for _, processes in sides for one in processes]:
        sides = ()
    return float(np.mean(_drawn_in(values, _layout(sides or ((1.0, (0,) * len(values)),)))))


@dataclass(frozen=True)
class _Layout:
    """Which processes gave which rounds, as far as the sureness of a mean depends on it."""

    axes: Any
    """Rounds by directions in which processes can differ."""
    share: float
    """`r`: how much of what is between processes the mean of all rounds varies by."""
    freedom: float
    left: int
    """Degrees of freedom that are left for the noise."""

    def split(self, data: Any) -> tuple[float, float, float | None]:
        """The mean, and the mean squares between and within processes (None: nothing is left for it)."""
        mean = float(data.mean())
        along = (data - mean) @ self.axes
        total, between = float(((data - mean) ** 2).sum()), float((along**2).sum())
        within = max(total - between, 0.0) / self.left if self.left > 0 else None
        return mean, between / max(1, self.axes.shape[1]), within

    def residuals(self, data: Any) -> Any:
        """What neither the mean nor the processes explain."""
        off = data - data.mean()
        return off - self.axes @ (off @ self.axes)

    def least_absolute(self, data: Any) -> Any:
        """The same of the fit whose absolute residuals are least (least squares, weighted anew again and again)."""
        import numpy as np

        design = np.column_stack([np.ones(len(data)), self.axes])
        left = self.residuals(data)
        floor = 1e-6 * max(float(np.abs(left).max()), 1e-300)
        for _ in range(25):
            weighted = design / np.maximum(np.abs(left), floor)[:, None]
            left = data - design @ np.linalg.solve(design.T @ weighted, weighted.T @ data)
        return left


@lru_cache(maxsize=4096)
def _layout(sides: tuple[Side, ...]) -> _Layout:
    import numpy as np

    columns = []
    for weight, processes in sides:
        names = {name: place for place, name in enumerate(dict.fromkeys(processes))}
        columns.append(weight * np.eye(len(names))[[names[one] for one in processes]])
    design = np.hstack(columns)
    n, apart = len(design), design - design.mean(axis=0)
    sizes, directions = np.linalg.eigh(apart.T @ apart)
    kept = sizes > 1e-9 * max(float(sizes.max()), 1.0)
    sizes, axes = sizes[kept], apart @ directions[:, kept] / np.sqrt(sizes[kept])
    if not len(sizes):
        return _Layout(axes, 1.0, 1.0, n - 1)
    of_mean = float((design.mean(axis=0) ** 2).sum())
    return _Layout(
        axes,
        of_mean / float(sizes.mean()),
        float(sizes.sum() ** 2 / (sizes**2).sum()),
        n - 1 - len(sizes),
    )


def _drawn_in(values: tuple[float, ...], layout: _Layout) -> Any:
    """Values with the outlying ones drawn in to the bound: one bad round does not decide a mean (Huber 1964).

    What is outlying is seen from a fit of least absolute residuals, which a bad round does not pull along.
    """
    import numpy as np

    data = np.asarray(values, dtype=float)
    if layout.left < 3 or not _outliers(layout.residuals(data), layout.left).any():
        return data
    left = layout.least_absolute(data)
    bound = OUTLYING * _spread(left, layout.left)
    return data - left + np.clip(left, -bound, bound) if bound else data


def _outliers(left: Any, freedom: int) -> Any:
    import numpy as np

    return np.abs(left) > OUTLYING * _spread(left, freedom) * math.sqrt(freedom / len(left))


def _spread(left: Any, freedom: int) -> float:
    """A robust standard deviation of residuals: of the largest ones, so many as are free."""
    import numpy as np

    return 1.4826 * float(np.median(np.sort(np.abs(left))[-freedom:]))
