"""From records to verdicts: every study at every scale that there are records for. Knows no torch, measures nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

from bench.analysis.grade import worst
from bench.analysis.rows import Asked, Summary
from bench.claims.evidence import Evidence
from bench.claims.questions import hash_of, same_question
from bench.claims.rules import Outcome, Verdict, judge, overall
from bench.claims.scales import DIGITS, Scale, scale_of, scales_of
from bench.config import COMMAND
from bench.plugins import Study, studies


def verdicts(summary: Summary, named: list[Study] | None = None) -> list[Verdict]:
    """The verdicts of one machine's records, those of studies among them; in the order of the claims."""
    evidence = _evidence(summary)
    scales = _scales(summary) or [DIGITS]
    found = []
    for study in sorted(
        studies.entries() if named is None else named,
        key=lambda study: (study.claims or (math.inf,), study.name),
    ):
        for scale in scales if study.trains else [None]:
            found.append(_verdict(study, evidence, scale and scale.data, scale and scale.size))
    return found


def _scales(summary: Summary) -> list[Scale]:
    """Those that there are trainings of; of data whose trainings are all under other recipes, every one."""
    recipes: dict[str, set[str]] = {}
    for one in summary.accuracies:
        if one.arm.recipe:
            recipes.setdefault(one.arm.data, set()).add(one.arm.recipe)
    found = []
    for data, names in recipes.items():
        known = scales_of(data)
        found += [scale for scale in known if any(map(scale.has, names))] or known
    return found


@lru_cache(maxsize=2)
def _evidence(summary: Summary) -> Evidence:
    return Evidence(summary)


@lru_cache(maxsize=256)
def _verdict(study: Study, evidence: Evidence, data: str | None, size: str | None) -> Verdict:
    """Once per summary: the tables and several figures of a report ask for it."""
    scale = scale_of(data, size=size) if data else None
    judged = judge(list(study.judge(evidence, scale)))
    withheld = _withheld(evidence) if scale is None else ""
    if withheld:
        judged = [
            replace(one, outcome="inconclusive")
            if one.outcome in ("supported", "contradicted")
            else one
            for one in judged
        ]
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
        missing=f"{COMMAND} study run {study.name}" + (f" {scale.asked}" if scale else ""),
        sentinel=evidence.sentinel if scale is None else None,
        changed=_changed(study, evidence.summary, scale),
        withheld=withheld,
    )


def _changed(study: Study, summary: Summary, scale: Scale | None) -> bool:
    """True if some of the data were measured when the study asked something else at this scale."""
    current = hash_of(study, scale, summary.machine.kind)
    return any(
        not same_question(asked.hash, current)
        for asked in summary.studied
        if asked.study == study.name and _is_of(asked, scale)
    )


def _is_of(asked: Asked, scale: Scale | None) -> bool:
    """True if a run was made for this scale; runs without a recipe are baselines, which no study asks about."""
    if scale is None:
        return not asked.data
    return asked.data == scale.data and scale.has(asked.recipe)


def _withheld(evidence: Evidence) -> str:
    """Why the machine's speeds earn no verdict; empty where they do, or where nothing was timed."""
    trust = worst(evidence.summary)
    return "" if trust is None or trust.marks else trust.line
