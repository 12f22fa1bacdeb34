"""Do deeper models need larger patches?

Two depths by two patches. If deeper models need larger patches, then depth gains more with the
coarse patch than with the fine one: an interaction of at least a point of top-1.
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
    """Return the four models: half the scale's depth and its own, with its two finest patches."""
    depth, (fine, coarse) = scale.convmixer[1], scale.patches[:2]
    return {
        ("shallow", "fine"): scale.variant(depth=depth // 2, patch=fine),
        ("shallow", "coarse"): scale.variant(depth=depth // 2, patch=coarse),
        ("deep", "fine"): scale.variant(depth=depth, patch=fine),
        ("deep", "coarse"): scale.variant(depth=depth, patch=coarse),
    }


def needs(scale: Scale, device: str) -> list[Need]:
    return scale.trained("two depths by two patches", cells(scale).values())


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    def cell(weight: float, depth: str, patch: str) -> tuple[float, list[float]]:
        name = cells(scale)[depth, patch]
        return weight, evidence.top1(name, scale.data, scale.recipe)

    coarse = [cell(1.0, "deep", "coarse"), cell(-1.0, "shallow", "coarse")]
    fine = [cell(1.0, "deep", "fine"), cell(-1.0, "shallow", "fine")]
    less_fine = [cell(-1.0, "deep", "fine"), cell(1.0, "shallow", "fine")]
    contrasts = {
        "what depth gains with the coarse patch less with the fine one": [*coarse, *less_fine],
        "what depth gains with the coarse patch": coarse,
        "what depth gains with the fine patch": fine,
    }
    for number, (what, weighted) in enumerate(contrasts.items()):
        yield Finding(
            what=what,
            unit="points",
            region=(INTEREST, inf),
            effect=contrast(weighted),
            of="trainings",
            primary=number == 0,
        )


studies.add(
    Study(
        name="depth_and_patch",
        question="Do deeper ConvMixers need larger patches?",
        headline="Deeper ConvMixers need larger patches",
        claim="Making a ConvMixer deeper helps it at least a point more with large patches "
        "than with small ones.",
        claims=(6,),
        paper="results",
        needs=needs,
        judge=judge,
        trains=True,
    )
)
