"""What does a coarser patch cost in accuracy?

The claim holds if it costs at least a point of top-1 for a patch twice as coarse, and at least
another for the next doubling.
"""

from collections.abc import Iterator
from itertools import pairwise
from math import inf

from bench.claims.evidence import Evidence
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Need, Study, studies
from bench.studies._variants import compared, published_step

INTEREST = 1.0
PAPER = {
    "imagenet": {7: 81.37, 14: 78.92},
    "cifar10": {1: 0.0, 2: -0.80, 4: -3.27},
}
"""Points of top-1 by patch; on CIFAR-10 against patch 1, on ImageNet for 1536/20."""


def needs(scale: Scale, device: str) -> list[Need]:
    models = [scale.variant(patch=patch) for patch in scale.patches]
    return scale.trained("ConvMixer with patches of each size", models)


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    for fine, coarse in pairwise(scale.patches):
        yield compared(
            evidence,
            scale,
            f"top-1 with patch {fine} less patch {coarse}",
            scale.variant(patch=fine),
            scale.variant(patch=coarse),
            (INTEREST, inf),
            published=published_step(scale, PAPER, fine, coarse),
        )


studies.add(
    Study(
        name="patch_accuracy",
        question="Does a coarser patch cost ConvMixer accuracy?",
        headline="Larger patches cost ConvMixer accuracy",
        claim="Every doubling of the patch costs ConvMixer at least a point of accuracy.",
        claims=(4, 9),
        paper="results",
        needs=needs,
        judge=judge,
        trains=True,
    )
)
