"""The number of images on which a timed execution is compared with float32, and what that costs.

Measuring and forecasting share these numbers. The comparison is in
`bench/measure/subject/agreement.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

FIRST, LATER = 64, 4
"""Images for the first process of an arm, and for its later ones."""
SHORT_S, IN_SHORT = 60.0, 16
"""In a run whose time budget is below so many seconds, a first process sees so many images: with
64, a slow model would be compared for minutes and timed for seconds."""
LONGEST_S = 60.0
"""Seconds after which the comparison of a first process ends early."""


def first(time_budget: float | None) -> int:
    """Return the number of images for first processes in a run with a time budget in seconds."""
    return FIRST if time_budget is None or time_budget >= SHORT_S else IN_SHORT


def calls(images: int, batch_size: int) -> int:
    """Return the number of calls that show a number of images: two at least."""
    return max(2, math.ceil(images / batch_size))


def first_s(call: float, batch_size: int) -> float:
    """Return the seconds of the comparison in a first process whose calls take `call` seconds."""
    return min(LONGEST_S, calls(FIRST, batch_size) * call)


def later_s(call: float, batch_size: int) -> float:
    """Return the seconds of the comparison in a later process."""
    return calls(LATER, batch_size) * call


def saved_s(setup: Mapping[str, Any], batch_size: int) -> float:
    """Return the seconds that a later process takes less, by the set-up of a first one."""
    taken, images = setup.get("agreement_s"), setup.get("agreement_images")
    if not taken or not images:
        return 0.0
    share = calls(LATER, batch_size) / calls(int(images), batch_size)
    return float(taken) * max(0.0, 1 - share)
