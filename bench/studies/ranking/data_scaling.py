"""Does ViT gain more than the convolutional families as data grow?

Every family is trained on 10, 30 and 100 % of the images for an equal number of steps. Its gain is
the slope of top-1 over the logarithm of the share: points for ten times the data. "More" is by at
least a point.
"""

from collections.abc import Iterator
from math import inf, log10

from bench.claims.evidence import Evidence
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Need, Study, studies
from bench.stats.intervals import difference, mean_effect, slope
from bench.studies._variants import on_share

INTEREST = 1.0
SHARES = (0.1, 0.3, 1.0)


def needs(scale: Scale, device: str) -> list[Need]:
    needs: list[Need] = []
    for share in SHARES:
        what = f"the families on {share:.0%} of the data"
        needs += scale.trained(what, scale.family.values(), on_share(scale, share))
    return needs


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    slopes = {family: _slopes(evidence, scale, name) for family, name in scale.family.items()}
    for family in ("convmixer", "resnet"):
        yield Finding(
            what=f"points for ten times the data, vit less {family}",
            unit="points",
            region=(INTEREST, inf),
            effect=difference(slopes["vit"], slopes[family]),
            of="trainings",
        )
    for family, values in slopes.items():
        yield Finding(
            what=f"{family}: points for ten times the data",
            unit="points",
            region=(INTEREST, inf),
            effect=mean_effect(values),
            of="trainings",
            primary=False,
        )


def _slopes(evidence: Evidence, scale: Scale, model: str) -> list[float]:
    """Return the points for ten times the data, for every seed that all shares have."""
    by_share = [evidence.top1(model, scale.data, on_share(scale, share)) for share in SHARES]
    logs = list(map(log10, SHARES))
    return [slope(logs, list(values)) for values in zip(*by_share, strict=False)]


studies.add(
    Study(
        name="data_scaling",
        question="Does ViT gain more than the convolutional families as data grow?",
        headline="ViT gains more from data than ConvNets",
        claim="As training data grow, a vision transformer gains at least a point more per "
        "tenfold than ConvMixer and ResNet do.",
        claims=(13,),
        needs=needs,
        judge=judge,
        trains=True,
    )
)
