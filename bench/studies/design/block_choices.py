"""Is GELU unnecessary, and do layer norm and a second residual hurt?

"Unnecessary" is within half a point of top-1; "hurts" is at least half a point.
"""

from collections.abc import Iterator
from math import inf

from bench.claims.evidence import Evidence
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Need, Study, studies
from bench.studies._variants import compared, published

INTEREST = 0.5
ALIKE, WORSE = (-INTEREST, INTEREST), (-inf, -INTEREST)
# The end of the model's name, the region, and the paper's points of top-1 by data set.
CHOICES: dict[str, tuple[str, tuple[float, float], dict[str, float]]] = {
    "ReLU for GELU": ("_relu", ALIKE, {}),
    "layer norm for batch norm": ("_ln", WORSE, {"cifar10": -1.44}),
    "a residual around the pointwise convolution too": ("_res", WORSE, {"cifar10": -1.10}),
}


def needs(scale: Scale, device: str) -> list[Need]:
    models = [scale.variant()]
    for suffix, _, _ in CHOICES.values():
        models.append(scale.variant(more=suffix))
    return scale.trained("ConvMixer with other blocks", models)


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    for what, (suffix, region, paper) in CHOICES.items():
        yield compared(
            evidence,
            scale,
            what,
            scale.variant(more=suffix),
            scale.variant(),
            region,
            published=published(scale, paper),
        )


studies.add(
    Study(
        name="block_choices",
        question="Is GELU unnecessary, and do layer norm and a second residual hurt?",
        headline="GELU can go; batch norm and one residual stay",
        claim="ConvMixer does as well with the simpler ReLU as with GELU, and loses at "
        "least half a point with layer norm instead of batch norm or with a second "
        "residual connection.",
        claims=(7, 10),
        paper="ablations",
        needs=needs,
        judge=judge,
        trains=True,
    )
)
