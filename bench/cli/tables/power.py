"""What studies take and what they can tell, as a table and as warnings before they are run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.claims.power import MOST_SEEDS, Power, Resolution
from bench.claims.spread import Spread
from bench.report.table import Table
from bench.stats.formatting import duration, number

if TYPE_CHECKING:  # imports torch
    from bench.run.study_plan import Outlook, StudyPlan

HEADERS = ["study", "trainings", "open", "takes", "seeds", "tells", "interest"]
NONE, UNKNOWN = "-", "unknown"


def planned(outlook: Outlook) -> Table:
    """Return what each study takes and what it can tell with its planned seeds."""
    rows = list(map(_row, outlook.plans))
    return Table("Studies", HEADERS, rows, list(_notes(outlook)))


def _row(plan: StudyPlan) -> list[str]:
    takes = duration(plan.seconds) if plan.seconds else "done"
    power = plan.power
    if power is None:
        return [plan.study, NONE, NONE, takes, NONE, NONE, NONE]
    told, interest = NONE, NONE
    if power.effects:
        worst = power.worst
        told = UNKNOWN if worst.tells is None else _cell(worst, worst.tells)
        interest = _cell(worst, worst.interest)
    counts = [str(plan.trainings), str(plan.open)]
    return [plan.study, *counts, takes, str(power.seeds), told, interest]


def size(effect: Resolution, distance: float) -> str:
    """Return the size of an effect in its own unit, such as `0.50 points` or `1.10 ×`."""
    if effect.unit == "×":
        return f"{math.exp(distance):.2f} ×"
    return f"{distance:.2f} {effect.unit}"


def _cell(effect: Resolution, distance: float) -> str:
    """Return the size of an effect, without its unit if those are points."""
    return size(effect, distance).removesuffix(" points")


def _notes(outlook: Outlook) -> Iterator[str]:
    if outlook.scale is None or outlook.spread is None:
        yield "none of these studies trains anything"
        return
    yield f"at {outlook.scale.title}; a training run that several studies need is made once"
    yield (
        "tells: the smallest effect that the planned seeds decide in eight draws of ten, after "
        "Holm's correction, of the deciding effect that is the hardest to tell; interest: how far "
        "the nearest end of its region is from no effect; both in points of top-1, or as ratios (×)"
    )
    yield f"spread between seeds: {_words(outlook.spread.points)}"
    for plan in outlook.plans:
        if plan.power is not None and plan.power.unknown:
            yield _unknown(plan.power)
    if not outlook.scale.decisive:
        yield f"{outlook.scale.label}: a pipeline check, which decides nothing with any seeds"
    for power in outlook.short:
        yield shortfall(power)


def _words(spread: Spread) -> str:
    """Return the spread of top-1 with what it is known from."""
    if spread.assumed:
        return f"{spread.value:.2g} points of top-1, assumed: there are too few records"
    return (
        f"{spread.value:.2g} points of top-1, from {spread.source} "
        f"({spread.freedom} degrees of freedom)"
    )


def _unknown(power: Power) -> str:
    """Say of which effects nothing is known yet."""
    what = "; ".join(effect.what for effect in power.unknown)
    return f"{power.study}: not known before the first seeds: {what}"


def shortfall(power: Power) -> str:
    """Say that a study cannot tell its smallest effect of interest, and what would do."""
    worst = power.worst
    assert worst.tells is not None
    told, interest = size(worst, worst.tells), size(worst, worst.interest)
    return (
        f"{power.study}: {power.seeds} seeds tell {told}, not the smallest effect of interest, "
        f"{interest}; {_remedy(power)}"
    )


def _remedy(power: Power) -> str:
    if power.needed is not None:
        return f"--seeds {power.needed} would do"
    if power.worst.interest:
        return f"more than {number(MOST_SEEDS)} seeds would be needed"
    return "any effect is of interest, and no number of seeds tells them all"
