"""Does it matter what mixes the tokens, on a good skeleton?

"MetaFormer Baselines for Vision" (arXiv 2210.13452) trains networks that shrink their grid step by
step, and whose blocks have no mixer at all, or a random matrix that is never trained: above 80 and
81 % on ImageNet. "Within a few points" is less than three points of top-1 below attention. Such a
network still mixes where its grid shrinks. On one grid of patches nothing else mixes; what a mixer
is worth there is shown as well.
"""

from collections.abc import Iterator
from math import inf

from bench.claims.evidence import Evidence
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Need, Study, studies
from bench.studies._factorial import name_of
from bench.studies._variants import compared

FEW = (-3.0, inf)
"""Points of top-1."""
SKELETONS = {
    "a shrinking grid": ("pyramid", "staged"),
    "one grid of patches": ("patch", "iso"),
}
MIXERS = {"none": "no mixer", "random": "a random matrix", "pooling": "pooling"}
USUAL = ("attention", "depthwise")


def skeletons(scale: Scale, grid: str) -> dict[str, str]:
    """Return the name of each mixer's network."""
    stem, stages = SKELETONS[grid]
    return {mixer: name_of(scale, (mixer, stem, stages, "ln")) for mixer in (*MIXERS, *USUAL)}


def needs(scale: Scale, device: str) -> list[Need]:
    models: list[str] = []
    for grid in SKELETONS:
        models += skeletons(scale, grid).values()
    return scale.trained("the skeleton with and without mixers", models)


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    for grid in SKELETONS:
        names = skeletons(scale, grid)
        for other in USUAL:
            for mixer, words in MIXERS.items():
                yield compared(
                    evidence,
                    scale,
                    f"{words} less {other}, {grid}",
                    names[mixer],
                    names[other],
                    FEW,
                    primary=grid == "a shrinking grid"
                    and other == "attention"
                    and mixer in ("none", "random"),
                )


studies.add(
    Study(
        name="mixer_needed",
        question="Does a network without a mixer, or with a random one, come within a few points "
        "of attention?",
        headline="Networks do well without mixing tokens",
        claim="A network whose blocks do not mix the positions of the picture at all, or by a "
        "fixed random matrix, is at most three points of accuracy behind one with "
        "attention.",
        claims=(17,),
        needs=needs,
        judge=judge,
        trains=True,
    )
)
