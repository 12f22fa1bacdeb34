"""Turn records into verdicts: every study at every scale that there are records for.

Free of torch; measures nothing.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

from bench.analysis.grade import Grade, worst
from bench.analysis.rows import Asked, Summary
from bench.claims.evidence import Evidence
from bench.claims.questions import hash_of, same_question
from bench.claims.rules import Judged, Outcome, Verdict, judge, overall
from bench.claims.scales import DIGITS, Scale, scale_of, scales_of
from bench.config import COMMAND
from bench.plugins import Study, studies


def verdicts(summary: Summary, named: list[Study] | None = None) -> list[Verdict]:
    """Return the verdicts on one machine's records, in the order of the claims.

    They are those of the studies `named`, or of all. The summary has to include the records that
    were made for studies.
    """
    evidence = _evidence(summary)
    scales = _scales(summary) or [DIGITS]
    asked = sorted(studies.entries() if named is None else named, key=_by_claim)
    answers = []
    for study in asked:
        if not study.trains:
            answers.append(_verdict(study, evidence, None, None))
            continue
        for scale in scales:
            answers.append(_verdict(study, evidence, scale.data, scale.size))
    return answers


def _by_claim(study: Study) -> tuple[tuple[float, ...], str]:
    return study.claims or (math.inf,), study.name


def _scales(summary: Summary) -> list[Scale]:
    """Return the scales that there are training runs for.

    If all training runs on some data are under recipes of no scale, all scales of that data.
    """
    recipes: dict[str, set[str]] = {}
    for row in summary.accuracies:
        if row.arm.recipe:
            recipes.setdefault(row.arm.data, set()).add(row.arm.recipe)
    scales: list[Scale] = []
    for data, names in recipes.items():
        known = scales_of(data)
        scales += [scale for scale in known if any(map(scale.has, names))] or known
    return scales


@lru_cache(maxsize=2)
def _evidence(summary: Summary) -> Evidence:
    return Evidence(summary)


@lru_cache(maxsize=256)
def _verdict(study: Study, evidence: Evidence, data: str | None, size: str | None) -> Verdict:
    """Return a verdict, computed once per summary: tables and figures of a report ask for it."""
    scale = scale_of(data, size=size) if data else None
    with evidence.sizes_read() as sizes:
        judged = judge(list(study.judge(evidence, scale)))
    distrusted = _distrusted(evidence, sizes) if scale is None else None
    if distrusted:
        judged = list(map(_undecided, judged))
    outcome: Outcome = overall(judged)
    if scale is not None and not scale.decisive and outcome != "not measured":
        outcome = "pipeline check"
    machine = evidence.summary.machine
    return Verdict(
        study=study.name,
        question=study.question,
        scale=scale.title if scale is not None else machine.hardware,
        outcome=outcome,
        findings=judged,
        claims=study.claims,
        at=scale,
        missing=f"{COMMAND} study run {study.name}" + (f" {scale.asked}" if scale else ""),
        sentinel=evidence.sentinel if scale is None else None,
        changed=_changed(study, evidence.summary, scale),
        withheld=distrusted.line if distrusted else "",
        distrust=distrusted.reason if distrusted else "",
    )


def _undecided(judged: Judged) -> Judged:
    """Return a finding without the decision that its numbers alone would support."""
    if judged.outcome in ("supported", "contradicted"):
        return replace(judged, outcome="inconclusive")
    return judged


def _changed(study: Study, summary: Summary, scale: Scale | None) -> bool:
    """True if some of the data were measured when the study asked something else at this scale."""
    current = hash_of(study, scale, summary.machine.kind)
    recorded = {
        asked.hash
        for asked in summary.studied
        if asked.study == study.name and _is_of(asked, scale)
    }
    return not all(same_question(hash, current) for hash in recorded)


def _is_of(asked: Asked, scale: Scale | None) -> bool:
    """True if a run was made for this scale; runs without a recipe are baselines, for no study."""
    if scale is None:
        return not asked.data
    return asked.data == scale.data and scale.has(asked.recipe)


def _distrusted(evidence: Evidence, sizes: set[int]) -> Grade | None:
    """Return the grade of the speeds at these image sizes if it allows no verdict; None if it does.

    None as well if nothing was timed at them.
    """
    grade = worst(evidence.summary, sizes)
    return None if grade is None or grade.marks else grade
