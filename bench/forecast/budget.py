"""The time budget that the rounds of a run need for intervals, as far as it is known beforehand."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.config import RunConfig
from bench.forecast.forecast import PROCESS_S, CostLine, Want, line_of, timed
from bench.forecast.past import Past
from bench.forecast.round_rules import (
    CHOOSING,
    FIRST_LOOK,
    PROCESSES,
    budget_for_renewing,
)
from bench.record.arms import ProbeArm, SpeedArm

LEAST_PROCESSES = 2
"""Of numbers from one process there are no intervals."""
LEAST_SETUP_S = PROCESS_S + 0.3
"""Seconds until an arm is ready, at least: its warm-up has two windows or more."""
STEP_S, COARSE_STEP_S, COARSE_FROM_S = 10, 60, 300
"""A proposed budget is a multiple of the first, and of the second above the third."""


def at_least(want: Want, past: Past) -> CostLine:
    """Return the cost of a timed arm by this machine's past, else the least that it can be."""
    return line_of(want, past) or timed(want, 0.0, "at least", past.of_arm(want.arm))


def too_short(config: RunConfig, lines: Sequence[CostLine], past: Past) -> str | None:
    """Return a warning if --time-budget will end before every speed of `lines` has an interval.

    `lines` are the costs of the arms of all rounds, the companions among them.
    """
    budget = config.time_budget
    if budget is None or not lines or config.most_rounds < FIRST_LOOK:
        return None
    if _needed(lines, past, LEAST_PROCESSES) <= budget:
        return None
    needed = _needed(lines, past, PROCESSES)
    step = STEP_S if needed <= COARSE_FROM_S else COARSE_STEP_S
    enough = step * math.ceil(needed / step)
    return (
        f"--time-budget: {budget:g} s are too few for intervals, which take {FIRST_LOOK} rounds "
        f"and {PROCESSES} processes per configuration; --time-budget {enough} would do"
    )


def _needed(lines: Sequence[CostLine], past: Past, processes: int) -> float:
    """Return the seconds of rounds that give every speed an interval from so many processes.

    Where policies compete, a part of them chooses among all, and the rest measures those chosen.
    """
    windows = sum(line.each_round for line in lines)
    rounds = FIRST_LOOK * past.habits.spent * windows
    renewed = [line for line in lines if not isinstance(line.want.arm, ProbeArm)]
    setups = sum(max(line.renewal, LEAST_SETUP_S) for line in renewed)
    renewing = (processes - 1) * setups
    round_s = rounds / FIRST_LOOK
    everything = max(rounds + renewing, budget_for_renewing(renewing, round_s))
    models, pairs = set(), set()
    for line in lines:
        arm = line.want.arm
        if line.want.role == "asked" and isinstance(arm, SpeedArm):
            models.add(arm.model)
            pairs.add((arm.model, arm.policy))
    if len(pairs) <= len(models):
        return everything
    chosen = everything * len(models) / len(pairs)
    return max(everything / CHOOSING, chosen / (1 - CHOOSING))
