"""At equal parameters, does ConvMixer rival ViT, MLP-Mixer and ResNet, and does the answer depend on the recipe?

"Rivals" is not below the other by a point of top-1 or more, under the recipe that is usual at the scale; the other
recipes' rankings stand beside it. "Fewer epochs" (claim 2) is the first look at the select split with the scale's level,
read within one schedule: half of the other's would be an effect of interest, a tenth less is asked for.
"""

from collections.abc import Iterator
from math import inf, log

from bench.evidence import Evidence
from bench.plugins import Need, Study, studies
from bench.stats import difference
from bench.verdicts import Finding

from ._scales import Scale

INTEREST = 1.0
"""Points of top-1."""


def needs(scale: Scale, device: str) -> list[Need]:
    return [
        need
        for label, recipe in scale.recipes.items()
        for need in scale.trained(f"the families under {label}", scale.family.values(), recipe)
    ]


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    convmixer = scale.family["convmixer"]
    for label, recipe in scale.recipes.items():
        for family in ("vit", "mixer", "resnet"):
            effect = difference(*(evidence.top1(name, scale.data, recipe) for name in (convmixer, scale.family[family])))
            yield Finding(
                what=f"ConvMixer less {family}, top-1, recipe {label}",
                unit="points",
                region=(-INTEREST, inf),
                effect=effect,
                of="trainings",
                primary=recipe == scale.recipe,
            )
    for family in ("vit", "mixer", "resnet"):
        logs = [[log(value) for value in _epochs(evidence, scale, name)] for name in (convmixer, scale.family[family])]
        yield Finding(
            what=f"epochs of ConvMixer to {scale.level:.0%} on select : those of {family}",
            unit="×",
            region=(0.0, 0.9),
            effect=difference(*logs),
            of="trainings",
            primary=False,
        )


def _epochs(evidence: Evidence, scale: Scale, model: str) -> list[float]:
    return evidence.epochs_to(model, scale.data, scale.recipe, scale.level)


studies.add(
    Study(
        name="family_ranking",
        question="At equal parameters, does ConvMixer rival ViT, MLP-Mixer and ResNet, under every recipe?",
        claims=(1, 2),
        needs=needs,
        judge=judge,
        trains=True,
    )
)
