"""At equal parameters, does ConvMixer rival ViT, MLP-Mixer and ResNet, and does the answer depend on the recipe?

"Rivals" is not below the other by a point of top-1 or more, under the recipe that is usual at the scale; the other
recipes' rankings stand beside it. "Fewer parameters" (claim 2) asks the same of a ConvMixer with half of them; "fewer
epochs" is the first look at the select split with the scale's level, read within one schedule, where a tenth fewer
would be an effect of interest.
"""

from collections.abc import Iterator
from math import inf, log

from bench.claims.evidence import Evidence
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Need, Study, studies
from bench.stats.intervals import difference

INTEREST = 1.0
"""Points of top-1."""


def needs(scale: Scale, device: str) -> list[Need]:
    families, found = (
        scale.family.values(),
        scale.trained("a ConvMixer of half the parameters", [scale.half]),
    )
    for label, recipe in scale.recipes.items():
        found += scale.trained(f"the families under {label}", families, recipe)
    return found


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    convmixer = scale.family["convmixer"]
    for label, recipe in scale.recipes.items():
        for family in ("vit", "mixer", "resnet"):
            effect = difference(
                *(
                    evidence.top1(name, scale.data, recipe)
                    for name in (convmixer, scale.family[family])
                )
            )
            yield Finding(
                what=f"ConvMixer less {family}, top-1, recipe {label}",
                unit="points",
                region=(-INTEREST, inf),
                effect=effect,
                of="trainings",
                primary=recipe == scale.recipe,
            )
    for family in ("vit", "mixer", "resnet"):
        sides = [
            evidence.top1(name, scale.data, scale.recipe)
            for name in (scale.half, scale.family[family])
        ]
        yield Finding(
            what=f"ConvMixer of half the parameters less {family}, top-1",
            unit="points",
            region=(-INTEREST, inf),
            effect=difference(*sides),
            of="trainings",
            primary=False,
        )
    for family in ("vit", "mixer", "resnet"):
        logs = [
            [log(value) for value in _epochs(evidence, scale, name)]
            for name in (convmixer, scale.family[family])
        ]
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
