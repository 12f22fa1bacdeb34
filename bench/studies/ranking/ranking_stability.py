"""Does ConvMixer's lead over a family depend on the recipe, or on what is held equal?

Its lead under one recipe less its lead under another, and at equal epochs less at equal training MACs (the schedule
stretched before training, to what the ConvMixer spends). Stable is a change within a point of top-1 in all of them: a
ranking that only holds under one recipe or one budget is a statement about that recipe or budget.
"""

from collections.abc import Iterator
from itertools import combinations

from bench.claims.evidence import Evidence
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Need, Study, studies
from bench.stats.intervals import contrast

STABLE = (-1.0, 1.0)
OTHERS = ("vit", "mixer", "resnet")


def needs(scale: Scale, device: str) -> list[Need]:
    families = scale.family.values()
    found = scale.trained("the families at equal training MACs", families, equalise="macs")
    for label, recipe in scale.recipes.items():
        found += scale.trained(f"the families under {label}", families, recipe)
    return found


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    def lead(
        family: str, sign: float, recipe: str, equalise: str = "epochs"
    ) -> list[tuple[float, list[float]]]:
        sides = [(sign, scale.family["convmixer"]), (-sign, scale.family[family])]
        return [
            (weight, evidence.top1(name, scale.data, recipe, equalise=equalise))
            for weight, name in sides
        ]

    def finding(what: str, cells: list[tuple[float, list[float]]]) -> Finding:
        return Finding(
            what=what, unit="points", region=STABLE, effect=contrast(cells), of="trainings"
        )

    for family in OTHERS:
        for (one, first), (other, second) in combinations(scale.recipes.items(), 2):
            cells = [*lead(family, 1.0, first), *lead(family, -1.0, second)]
            yield finding(f"lead over {family}, recipe {one} less {other}", cells)
        cells = [*lead(family, 1.0, scale.recipe), *lead(family, -1.0, scale.recipe, "macs")]
        yield finding(f"lead over {family}, equal epochs less equal training MACs", cells)


studies.add(
    Study(
        name="ranking_stability",
        question="Is ConvMixer's lead over each family the same under every recipe and budget?",
        claims=(1,),
        needs=needs,
        judge=judge,
        trains=True,
    )
)
