"""What does ConvMixer lose without an ingredient of its recipe?

Each is removed alone, and everything else stays. The claim is that all matter: at least half a
point of top-1 each.
"""

from collections.abc import Iterator
from math import inf

from bench.claims.evidence import Evidence
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Need, Study, studies
from bench.studies._variants import compared, published

INTEREST = 0.5
PAPER = {
    "no RandAugment": {"cifar10": -2.96},
    "no random scaling": {"cifar10": -9.64},
}
"""The paper's points of top-1, by data set."""


def needs(scale: Scale, device: str) -> list[Need]:
    model = [scale.variant()]
    needs = scale.trained("the full recipe", model, scale.full)
    for what, changes in scale.switches.items():
        needs += scale.trained(what, model, f"{scale.full}:{changes}")
    return needs


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    model = scale.variant()
    for what, changes in scale.switches.items():
        recipes = (f"{scale.full}:{changes}", scale.full)
        yield compared(
            evidence,
            scale,
            what,
            model,
            model,
            (-inf, -INTEREST),
            recipes=recipes,
            published=published(scale, PAPER.get(what, {})),
        )


studies.add(
    Study(
        name="recipe_ingredients",
        question="Does every ingredient of ConvMixer's recipe matter?",
        headline="Every ingredient of the recipe matters",
        claim="Leaving any one ingredient out of ConvMixer's training recipe costs at "
        "least half a point of accuracy.",
        claims=(10,),
        paper="ablations",
        needs=needs,
        judge=judge,
        trains=True,
    )
)
