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
from bench.studies._variants import compared

INTEREST = 0.5
PAPER = {"no RandAugment": -2.96, "no random scaling": -9.64}
"""Points of top-1 on CIFAR-10."""


def needs(scale: Scale, device: str) -> list[Need]:
    model = [scale.variant()]
    needs = scale.trained("the full recipe", model, scale.full)
    for what, changes in scale.switches.items():
        needs += scale.trained(what, model, f"{scale.full}:{changes}")
    return needs


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    model = scale.variant()
    for what, changes in scale.switches.items():
        note = f"published: {PAPER[what]}" if what in PAPER and scale.name == "cifar10" else ""
        recipes = (f"{scale.full}:{changes}", scale.full)
        yield compared(
            evidence, scale, what, model, model, (-inf, -INTEREST), recipes=recipes, note=note
        )


studies.add(
    Study(
        name="recipe_ingredients",
        question="Does every ingredient of ConvMixer's recipe matter?",
        claims=(10,),
        needs=needs,
        judge=judge,
        trains=True,
    )
)
