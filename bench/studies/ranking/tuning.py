"""Does the same learning-rate search for everybody close the gap between ConvMixer and ViT?

ConvMixer's results are said to be untuned. Every family gets the same trials: 7 rates, 2 more
beyond an edge, chosen on the validation split. The question is how much of ConvMixer's lead over a
family the search takes away.
"""

from collections.abc import Iterator
from math import inf

from bench.claims.evidence import Evidence
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Need, Study, studies
from bench.stats.intervals import contrast
from bench.stats.lr_search import AS_IS, PROTOCOL

INTEREST = 1.0
"""Points of top-1 that the search must change to matter."""


def needs(scale: Scale, device: str) -> list[Need]:
    settings = scale.training(scale.family.values()) | {"seeds": scale.seeds, "lr_search": True}
    return [
        *scale.trained("the families as they are", scale.family.values()),
        Need(what="the families with searched rates", settings=settings),
    ]


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    def top1(family: str, tuning: str) -> list[float]:
        return evidence.top1(scale.family[family], scale.data, scale.recipe, tuning=tuning)

    for family in ("vit", "mixer", "resnet"):
        cells = [
            (1.0, top1("convmixer", AS_IS)),
            (-1.0, top1(family, AS_IS)),
            (-1.0, top1("convmixer", PROTOCOL)),
            (1.0, top1(family, PROTOCOL)),
        ]
        yield Finding(
            what=f"ConvMixer's lead over {family}, as is less searched",
            unit="points",
            region=(INTEREST, inf),
            effect=contrast(cells),
            of="trainings",
            primary=family == "vit",
        )
    for family in scale.family:
        effect = contrast([(1.0, top1(family, PROTOCOL)), (-1.0, top1(family, AS_IS))])
        yield Finding(
            what=f"{family}: what the search gains",
            unit="points",
            region=(INTEREST, inf),
            effect=effect,
            of="trainings",
            primary=False,
        )


studies.add(
    Study(
        name="tuning",
        question="Does the same learning-rate search for everybody close the gap "
        "between ConvMixer and ViT?",
        headline="Equal tuning shrinks ConvMixer's lead",
        claim="Searching the learning rate with equal effort for every family takes at "
        "least a point off ConvMixer's lead over a vision transformer.",
        claims=(12,),
        paper="results",
        needs=needs,
        judge=judge,
        trains=True,
    )
)
