"""Do deeper models need larger patches?

Two depths by two patches. If depth wants large patches, then what depth gains with the coarse patch exceeds what it
gains with the fine one: an interaction of at least a point of top-1.
"""

from collections.abc import Iterator
from math import inf

from bench.claims.evidence import Evidence
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Need, Study, studies
from bench.stats.intervals import contrast

INTEREST = 1.0


def cells(scale: Scale) -> dict[tuple[str, str], str]:
    """The four models: half the scale's depth and its own, its two finest patches."""
    depth, (fine, coarse) = scale.convmixer[1], scale.patches[:2]
    return {
        (name, grain): scale.variant(depth=layers, patch=patch)
        for name, layers in (("shallow", depth // 2), ("deep", depth))
        for grain, patch in (("fine", fine), ("coarse", coarse))
    }


def needs(scale: Scale, device: str) -> list[Need]:
    return scale.trained("two depths by two patches", cells(scale).values())


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    top1 = {
        cell: evidence.top1(name, scale.data, scale.recipe) for cell, name in cells(scale).items()
    }

    def finding(what: str, weights: dict[tuple[str, str], float], primary: bool) -> Finding:
        effect = contrast([(weight, top1[cell]) for cell, weight in weights.items()])
        return Finding(
            what=what,
            unit="points",
            region=(INTEREST, inf),
            effect=effect,
            of="trainings",
            primary=primary,
        )

    coarse = {("deep", "coarse"): 1.0, ("shallow", "coarse"): -1.0}
    fine = {("deep", "fine"): 1.0, ("shallow", "fine"): -1.0}
    yield finding(
        "what depth gains with the coarse patch less with the fine one",
        coarse | {cell: -w for cell, w in fine.items()},
        True,
    )
    yield finding("what depth gains with the coarse patch", coarse, False)
    yield finding("what depth gains with the fine patch", fine, False)


studies.add(
    Study(
        name="depth_and_patch",
        question="Do deeper ConvMixers need larger patches?",
        claims=(6,),
        needs=needs,
        judge=judge,
        trains=True,
    )
)
