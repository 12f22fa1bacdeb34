"""Does one grid throughout do as well as four that shrink, with the same blocks and budget?

It uses the training runs of patches_or_attention. "As well" is within a point of top-1.
"""

from collections.abc import Iterator
from math import inf

from bench.claims.evidence import Evidence
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Need, Study, studies
from bench.studies import _factorial

INTEREST = 1.0
STAGES = {"iso": 1.0, "staged": -1.0}


def needs(scale: Scale, device: str) -> list[Need]:
    return _factorial.needs(scale)


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    effect = _factorial.effect(evidence, scale, {"stages": STAGES})
    yield Finding(
        what="isotropic less staged",
        unit="points",
        region=(-INTEREST, inf),
        effect=effect,
        of="trainings",
    )
    for mixer in _factorial.FACTORS["mixer"]:
        effect = _factorial.effect(evidence, scale, {"stages": STAGES, "mixer": {mixer: 1.0}})
        yield Finding(
            what=f"isotropic less staged, mixer {mixer}",
            unit="points",
            region=(-INTEREST, inf),
            effect=effect,
            of="trainings",
            primary=False,
        )


studies.add(
    Study(
        name="isotropic_or_staged",
        question="Does one grid throughout do as well as a pyramid of four, "
        "with the same blocks and budget?",
        headline="One resolution does as well as a pyramid",
        claim="A network that keeps one resolution throughout is at most a point behind "
        "one that halves it step by step, with the same blocks and budget.",
        claims=(15,),
        needs=needs,
        judge=judge,
        trains=True,
    )
)
