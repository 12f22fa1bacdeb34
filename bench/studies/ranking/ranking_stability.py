"""Does ConvMixer's lead over a family depend on the recipe, or on what is held equal?

Its lead under one recipe is compared with its lead under another, and the lead at equal epochs with
the lead at equal training MACs, for which schedules are stretched before training to what ConvMixer
spends. Stable is a change within a point of top-1 in all cases: a ranking that only holds under one
recipe or budget is a statement about that recipe or budget.
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
WeightedTop1 = tuple[float, list[float]]
"""A weight in a contrast, and top-1 in points, one value per seed."""


def needs(scale: Scale, device: str) -> list[Need]:
    families = scale.family.values()
    needs = scale.trained("the families at equal training MACs", families, equalise="macs")
    for label, recipe in scale.recipes.items():
        needs += scale.trained(f"the families under {label}", families, recipe)
    return needs


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    def lead(family: str, sign: float, recipe: str, equalise: str = "epochs") -> list[WeightedTop1]:
        own, other = scale.family["convmixer"], scale.family[family]
        return [
            (sign, evidence.top1(own, scale.data, recipe, equalise=equalise)),
            (-sign, evidence.top1(other, scale.data, recipe, equalise=equalise)),
        ]

    for family in OTHERS:
        for (one, first), (other, second) in combinations(scale.recipes.items(), 2):
            cells = [*lead(family, 1.0, first), *lead(family, -1.0, second)]
            yield _finding(f"lead over {family}, recipe {one} less {other}", cells)
        cells = [*lead(family, 1.0, scale.recipe), *lead(family, -1.0, scale.recipe, "macs")]
        yield _finding(f"lead over {family}, equal epochs less equal training MACs", cells)


def _finding(what: str, cells: list[WeightedTop1]) -> Finding:
    return Finding(what=what, unit="points", region=STABLE, effect=contrast(cells), of="trainings")


studies.add(
    Study(
        name="ranking_stability",
        question="Is ConvMixer's lead over each family the same under every recipe and budget?",
        headline="ConvMixer's lead survives recipe and budget",
        claim="ConvMixer's lead over each other family stays within a point when the "
        "training recipe or the compute budget is changed.",
        claims=(1,),
        needs=needs,
        judge=judge,
        trains=True,
    )
)
