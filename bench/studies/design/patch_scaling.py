"""Do smaller patches always help, at equal epochs and at equal training MACs?

arXiv 2502.03738 finds that accuracy rises with every halving of the patch, down to single pixels,
at equal epochs. A finer patch then trains with four times the multiply-adds. The paper does not ask
whether it still helps if those are equal, with a schedule that is shortened before training.
"Helps" is by at least half a point of top-1 for a patch half as wide.
"""

from collections.abc import Iterator
from itertools import pairwise
from math import inf

from bench.claims.evidence import Evidence
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Need, Study, studies
from bench.stats.intervals import difference

INTEREST = 0.5
VIEWS = {"epochs": "equal epochs", "macs": "equal training MACs"}


def needs(scale: Scale, device: str) -> list[Need]:
    models = [scale.variant(patch=patch) for patch in scale.patches]
    # The first model is the one whose multiply-adds the others' schedules are stretched to.
    stretched = [scale.variant(), *models]
    return [
        *scale.trained("ConvMixer with patches of each size", models),
        *scale.trained("patches at equal training MACs", stretched, equalise="macs"),
    ]


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    for view, words in VIEWS.items():
        for fine, coarse in pairwise(scale.patches):
            yield Finding(
                what=f"top-1 with patch {fine} less patch {coarse}, {words}",
                unit="points",
                region=(INTEREST, inf),
                effect=difference(
                    _top1(evidence, scale, fine, view), _top1(evidence, scale, coarse, view)
                ),
                of="trainings",
            )


def _top1(evidence: Evidence, scale: Scale, patch: int, equalise: str) -> list[float]:
    name = scale.variant(patch=patch)
    return evidence.top1(name, scale.data, scale.recipe, equalise=equalise)


studies.add(
    Study(
        name="patch_scaling",
        question="Do smaller patches always help ConvMixer, "
        "at equal epochs and at equal training MACs?",
        headline="Smaller patches always help ConvMixer",
        claim="Every halving of the patch gains ConvMixer at least half a point of "
        "accuracy, for equal epochs and for equal training compute.",
        claims=(16,),
        needs=needs,
        judge=judge,
        trains=True,
    )
)
