"""What would settle a claim, or settle it better: observations, their time, and the command."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from bench.claims.answers import ClaimAnswer, Witness
from bench.claims.rules import Judged
from bench.claims.scales import Scale
from bench.config import COMMAND
from bench.plugins import Study
from bench.record.arms import AccuracyArm
from bench.report.findings.words import open_effects, seeds, seeds_needed
from bench.stats.formatting import duration

MANY = "more than 2,000 observations, or none: it lies at the end of its region"


def settling(one: ClaimAnswer) -> tuple[str, str]:
    """Return what would settle a claim that is not known, and the command."""
    if one.verdict is None:
        return "measuring it", one.missing
    if one.verdict.distrust:
        # Without the flag what is there would not be measured again: there are rounds enough.
        return "a run that passes its own checks, on a quiet machine", f"{one.missing} --force"
    if one.verdict.outcome == "not measured":
        return "measuring it", one.missing
    again = f"{one.missing} --again"
    if one.verdict.at is None:
        return _more_speeds(open_effects(one)), again
    needed = seeds_needed(one)
    if needed is None:
        return MANY, one.missing
    time = _minutes(one, needed)
    text = f"about {needed} seeds instead of {_seeds_now(one):.3g}"
    return (f"{text}, {time} there" if time else text), f"{one.missing} --seeds {needed}"


def better(one: ClaimAnswer) -> str:
    """Return the command that would settle a claim better than these records do.

    For a claim that is not known, that is the one which would settle it; else the study at the next
    larger scale, or on the kind of machine that has not answered yet.
    """
    verdict = one.verdict
    if one.standing == "not known" or verdict is None:
        return settling(one)[1]
    if verdict.at is None:
        return f"{COMMAND} study run {one.study.name} {_elsewhere(one)}"
    larger = verdict.at.larger
    if larger is not None:
        return f"{COMMAND} study run {one.study.name} {larger.asked}"
    return f"{verdict.missing} --seeds {2 * verdict.at.seeds}"


def _elsewhere(one: ClaimAnswer) -> str:
    """Return the flag for a kind of machine without a verdict on a claim; a further run if none."""
    heard = [other.machine.summary.machine.kind for other in (one.chosen, *one.others) if other]
    for kind in ("cuda", "cpu"):
        if kind not in heard:
            return f"--device {kind}"
    return "--again"


def _more_speeds(effects: Sequence[Judged]) -> str:
    """Return how many observations of each kind would settle all these effects."""
    most: dict[str, int] = {}
    for judged in effects:
        if judged.needed is None:
            return MANY
        of = judged.finding.of
        most[of] = max(most.get(of, 0), judged.needed)
    return f"about {' and '.join(f'{n} {of}' for of, n in most.items())}" if most else MANY


def _seeds_now(one: ClaimAnswer) -> float:
    effects = [judged.finding for judged in open_effects(one)]
    return min(seeds(finding) for finding in effects if finding.effect)


def _minutes(one: ClaimAnswer, needed: int) -> str:
    """Return how long the missing training runs take on the machine of the verdict, if known."""
    assert one.chosen and one.verdict and one.verdict.at
    everything = one.chosen.machine.everything
    spent = _training_seconds(one.chosen, one.verdict.at)
    if not spent:
        return ""
    missing = needed - _seeds_now(one)
    runs = _runs_per_seed(one.study, one.verdict.at, everything.machine.kind) * missing
    return (
        f"{math.ceil(runs)} more training runs, about {duration(runs * statistics.median(spent))}"
    )


def _training_seconds(witness: Witness, scale: Scale) -> list[float]:
    """Return the seconds of every training run at a scale, as if alone on the machine."""
    found = []
    for seen in witness.machine.everything.past.seen:
        arm = seen.arm
        if isinstance(arm, AccuracyArm) and _is_at(arm, scale) and seen.training is not None:
            found.append(seen.training)
    return found


def _is_at(arm: AccuracyArm, scale: Scale) -> bool:
    return arm.data == scale.data and arm.recipe is not None and scale.has(arm.recipe)


def _runs_per_seed(study: Study, scale: Scale, kind: str) -> int:
    """Return the number of training runs that one more seed takes."""
    return sum(
        len(need.settings["models"])
        for need in study.needs(scale, kind)
        if need.settings.get("seed", 0) == 0
    )
