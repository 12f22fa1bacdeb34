"""Does ConvMixer rival ViT, MLP-Mixer and ResNet at equal parameters, under every recipe?

"Rivals" is less than a point of top-1 below the other, under the usual recipe of the scale; the
rankings under other recipes are shown as well. "Fewer parameters" (claim 2) asks the same of a
ConvMixer with half of them. "Fewer epochs" is about the first evaluation on the validation split
that reaches the scale's level, within one schedule; a tenth fewer is of interest.
"""

from collections.abc import Iterator
from math import inf, log

from bench.claims.evidence import Evidence
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Need, Study, studies
from bench.stats.intervals import difference
from bench.studies._variants import compared

RIVALS = (-1.0, inf)
"""Points of top-1."""
OTHERS = ("vit", "mixer", "resnet")


def needs(scale: Scale, device: str) -> list[Need]:
    needs = scale.trained("a ConvMixer of half the parameters", [scale.half])
    for label, recipe in scale.recipes.items():
        needs += scale.trained(f"the families under {label}", scale.family.values(), recipe)
    return needs


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    convmixer = scale.family["convmixer"]
    for label, recipe in scale.recipes.items():
        for family in OTHERS:
            yield compared(
                evidence,
                scale,
                f"ConvMixer less {family}, top-1, recipe {label}",
                convmixer,
                scale.family[family],
                RIVALS,
                recipes=(recipe, recipe),
                primary=recipe == scale.recipe,
            )
    for family in OTHERS:
        what = f"ConvMixer of half the parameters less {family}, top-1"
        other = scale.family[family]
        yield compared(evidence, scale, what, scale.half, other, RIVALS, primary=False)
    for family in OTHERS:
        effect = difference(
            _log_epochs(evidence, scale, convmixer),
            _log_epochs(evidence, scale, scale.family[family]),
        )
        what = f"epochs of ConvMixer to {scale.level:.0%} on the validation split"
        yield Finding(
            what=f"{what} : those of {family}",
            unit="×",
            region=(0.0, 0.9),
            effect=effect,
            of="trainings",
            primary=False,
        )


def _log_epochs(evidence: Evidence, scale: Scale, model: str) -> list[float]:
    return list(map(log, evidence.epochs_to(model, scale.data, scale.recipe, scale.level)))


studies.add(
    Study(
        name="family_ranking",
        question="At equal parameters, does ConvMixer rival ViT, MLP-Mixer and ResNet, "
        "under every recipe?",
        headline="ConvMixer rivals networks of equal size",
        claim="At equal numbers of parameters, ConvMixer is at most a point of accuracy "
        "behind a vision transformer, an MLP-Mixer and a ResNet.",
        claims=(1, 2),
        paper="abstract",
        needs=needs,
        judge=judge,
        trains=True,
    )
)
