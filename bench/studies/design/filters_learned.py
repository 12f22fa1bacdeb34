"""Do ConvMixer's depthwise filters have to be learned?

arXiv 2210.03651, by ConvMixer's authors: filters drawn from a closed form of a covariance are a
better start, and in some cases they need no training. "Do as well" is less than a point of top-1
below learned ones. The covariance is that of models/_filters.py; the 1 x 1 convolutions are always
trained.
"""

from collections.abc import Iterator
from math import inf

from bench.claims.evidence import Evidence
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Need, Study, studies
from bench.studies._variants import compared

INTEREST = 1.0
AS_WELL, WORSE, BETTER = (-INTEREST, inf), (-inf, -INTEREST), (INTEREST, inf)


def needs(scale: Scale, device: str) -> list[Need]:
    models = [scale.variant()]
    for filters in ("covfixed", "cov", "fixed"):
        models.append(scale.variant(more=f"_{filters}"))
    return scale.trained("ConvMixer with other filters", models)


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    learned = scale.variant()
    drawn, start, default = (scale.variant(more=f"_{end}") for end in ("covfixed", "cov", "fixed"))
    for what, left, right, region in (
        ("fixed filters from the covariance less learned ones", drawn, learned, AS_WELL),
        ("fixed filters from the usual start less learned ones", default, learned, WORSE),
        ("fixed filters: from the covariance less from the usual start", drawn, default, BETTER),
        ("learned filters: from the covariance less from the usual start", start, learned, BETTER),
    ):
        yield compared(
            evidence, scale, what, left, right, region, primary=(left, right) == (drawn, learned)
        )


studies.add(
    Study(
        name="filters_learned",
        question="Do depthwise filters drawn from a closed-form covariance do as well as learned "
        "ones?",
        headline="ConvMixer's filters need not be learned",
        claim="ConvMixer with spatial filters that are drawn from a formula and never trained "
        "is at most a point of accuracy behind one that learns them.",
        claims=(19,),
        needs=needs,
        judge=judge,
        trains=True,
    )
)
