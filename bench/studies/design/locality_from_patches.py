"""Does locality come from the patches rather than from positional embeddings?

"An Image is Worth More Than 16x16 Patches" (arXiv 2406.09415) finds that patches are the stronger
prior. If they are, then a transformer loses more from pixels that change places across the whole
image, so that no patch shows anything in one piece, than from missing positions: by at least a
point of top-1. All images are permuted in the same way. Permuted within windows of a patch, each in
its own way, patches keep their contents and lose what they have in common. The paper's other
finding, that single pixels work as tokens, takes more than a small scale allows and is not asked.
"""

from collections.abc import Iterator
from math import inf

from bench.claims.evidence import Evidence
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Need, Study, studies
from bench.studies._near import name_of
from bench.studies._variants import compared

COSTS = (1.0, inf)
"""Points of top-1."""
MIXERS = ("attention", "depthwise", "mlp")
PLACES = {"across": "pixels permuted across the image", "within": "pixels permuted within windows"}


def needs(scale: Scale, device: str) -> list[Need]:
    models = [name_of(scale, "attention", "_nopos")]
    for mixer in MIXERS:
        models += [name_of(scale, mixer), *(name_of(scale, mixer, f"_{at}") for at in PLACES)]
    return scale.trained("networks on permuted pixels", models)


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    blind, across = (name_of(scale, "attention", more) for more in ("_nopos", "_across"))
    what = "attention: what permuted pixels cost less what missing positions cost"
    yield compared(evidence, scale, what, blind, across, COSTS)
    for mixer in MIXERS:
        for at, words in PLACES.items():
            yield compared(
                evidence,
                scale,
                f"{mixer}: what {words} cost",
                name_of(scale, mixer),
                name_of(scale, mixer, f"_{at}"),
                COSTS,
                primary=False,
            )
    what = "attention: what missing positions cost"
    yield compared(evidence, scale, what, name_of(scale, "attention"), blind, COSTS, primary=False)


studies.add(
    Study(
        name="locality_from_patches",
        question="Does a transformer's locality come from its patches rather than from its "
        "positional embedding?",
        headline="Patches matter more than position embeddings",
        claim="A vision transformer loses at least a point more if the pixels of all pictures "
        "are shuffled, so that no patch shows anything, than if it is not told where its "
        "patches were.",
        claims=(18,),
        needs=needs,
        judge=judge,
        trains=True,
    )
)
