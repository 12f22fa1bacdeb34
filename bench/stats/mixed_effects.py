"""The mean over rounds if both rounds and processes vary, with its standard error.

The value of a round is the truth, plus an offset of the processes that measured it, plus noise. Ten
rounds of a process that happens to be fast say the same thing ten times, so the standard error
depends on the number of processes.

Two mean squares give the variance: `between` processes, which contains their spread and the noise
of rounds, and `within` them, which contains the noise alone. The variance of the mean of all n
rounds is r times `between` plus 1/n - r times `within`, where r depends on the layout (which
processes met which). If the processes of all sides are renewed at the same rounds, that is
`between / n` alone, which is exactly Student's interval of the processes' means. If they are
renewed in turns, more is known about their spread: about 2k - 2 degrees of freedom from k processes
per side, not k - 1. The deduction for the noise is never larger than would be right if processes
did not differ at all (the variance is at least `between / n`). Degrees of freedom are
Satterthwaite's (1946) for processes with a large spread, whatever the spread seems to be: with
those of the observed spread, the interval is narrower and contained the truth in 91 to 93 of 100
draws of two processes per side.

docs/METHOD.md explains the choice, with figures; tests/by_hand/intervals.py and tests/test_mixed.py
check it on draws.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bench.stats.intervals import ROUNDS_FOR_INTERVAL, Effect

Side = tuple[float, tuple[Hashable, ...]]
"""One configuration's part in a value: its weight (1 and -1 in the logarithm of a ratio), and its
process in every round."""
FEWEST = 2
"""Fewest processes per side: a single one does not show how others would differ."""
OUTLYING = 3.0
"""Robust standard deviations from the fit beyond which a round is pulled in to this distance."""
EXACT = 1e-24
"""Variances of logarithms below this are rounding errors of floats."""
OF_MEDIANS = math.pi / 2
"""Variance of the median of normal values over that of their mean."""


def fewest(sides: Sequence[Side]) -> int:
    """Return the number of processes on the side with the fewest; 0 if one is unknown."""
    numbers = [0 if None in processes else len(set(processes)) for _, processes in sides]
    return min(numbers, default=0)


# A report asks for the same ratio in its tables, its figures and its studies.
@lru_cache(maxsize=65536)
def mean_over(
    values: tuple[float, ...], sides: tuple[Side, ...], noise: float = 1.0
) -> Effect | None:
    """Return the mean of one value per round.

    `noise` is the factor by which the rounds' noise counts more than for a mean (`OF_MEDIANS`).
    None from fewer than six rounds, or with fewer than two processes on a side.
    """
    if len(values) < ROUNDS_FOR_INTERVAL or fewest(sides) < FEWEST:
        return None
    layout = _layout(sides)
    mean, between, within = layout.split(_pulled_in(values, layout))
    n, r = len(values), layout.share
    if within is None:
        variance = max(r, noise / n) * between
    else:
        variance = max(r * between + (noise / n - r) * within, min(noise / n, r) * between)
    if variance < EXACT:
        return Effect(round(mean, 12), 0.0, layout.freedom, n, fewest(sides))
    return Effect(mean, math.sqrt(variance), layout.freedom, n, fewest(sides))


def centre(values: tuple[float, ...], sides: tuple[Side, ...]) -> float:
    """Return the same mean without a standard error, from any number of rounds and processes."""
    import numpy as np

    if not sides or any(None in processes for _, processes in sides):
        sides = ((1.0, (0,) * len(values)),)
    return float(np.mean(_pulled_in(values, _layout(sides))))


@dataclass(frozen=True)
class _Layout:
    """Which processes measured which rounds, reduced to what the variance of a mean needs."""

    axes: Any
    """An orthonormal basis of the differences between processes: (rounds, directions)."""
    share: float
    """`r`: the variance of the mean of all rounds per variance between processes."""
    freedom: float
    left: int
    """Degrees of freedom that are left for the noise."""

    def split(self, data: Any) -> tuple[float, float, float | None]:
        """Return the mean, and the mean squares between and within processes.

        The last is None if no degrees of freedom are left for it.
        """
        mean = float(data.mean())
        along = (data - mean) @ self.axes
        total, between = float(((data - mean) ** 2).sum()), float((along**2).sum())
        within = max(total - between, 0.0) / self.left if self.left > 0 else None
        return mean, between / max(1, self.axes.shape[1]), within

    def residuals(self, data: Any) -> Any:
        """Return what neither the mean nor the processes explain (least squares)."""
        off = data - data.mean()
        return off - self.axes @ (off @ self.axes)

    def least_absolute(self, data: Any) -> Any:
        """Return the residuals of the least-absolute fit, by reweighted least squares."""
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
        places = [names[process] for process in processes]
        columns.append(weight * np.eye(len(names))[places])
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


def _pulled_in(values: tuple[float, ...], layout: _Layout) -> Any:
    """Return the values with outlying ones pulled in to the bound (Huber 1964).

    That way a single bad round does not decide a mean. Distances are from a fit of least absolute
    residuals, which a bad round does not pull along.
    """
    import numpy as np

    data = np.asarray(values, dtype=float)
    off = layout.residuals(data)
    exact = float(np.square(off).max()) < EXACT
    if layout.left < 3 or exact or not _outliers(off, layout.left).any():
        return data
    left = layout.least_absolute(data)
    bound = OUTLYING * _spread(left, layout.left)
    return data - left + np.clip(left, -bound, bound) if bound else data


def _outliers(left: Any, freedom: int) -> Any:
    import numpy as np

    return np.abs(left) > OUTLYING * _spread(left, freedom) * math.sqrt(freedom / len(left))


def _spread(left: Any, freedom: int) -> float:
    """Return a robust standard deviation, from the `freedom` largest residuals."""
    import numpy as np

    return 1.4826 * float(np.median(np.sort(np.abs(left))[-freedom:]))
