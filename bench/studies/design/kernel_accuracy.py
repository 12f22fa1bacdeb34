"""Do larger kernels help? From 3 to 9, by at least half a point of top-1."""

from collections.abc import Iterator
from math import inf

from bench.claims.evidence import Evidence
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.plugins import Need, Study, studies
from bench.studies._variants import compared, published_step

INTEREST = 0.5
KERNELS = (3, 5, 7, 9)
PAPER = {
    "imagenet": {9: 0.0, 3: -0.94},
    "cifar10": {3: 93.61, 5: 95.11, 7: 95.72, 9: 95.88},
}
"""Points of top-1 by kernel; on ImageNet against kernel 9, for 1536/20."""


def needs(scale: Scale, device: str) -> list[Need]:
    models = [scale.variant(kernel=kernel) for kernel in KERNELS]
    return scale.trained("ConvMixer with kernels of 3 to 9", models)


def judge(evidence: Evidence, scale: Scale) -> Iterator[Finding]:
    small = scale.variant(kernel=KERNELS[0])
    for kernel in KERNELS[1:]:
        yield compared(
            evidence,
            scale,
            f"top-1 with kernel {kernel} less kernel 3",
            scale.variant(kernel=kernel),
            small,
            (INTEREST, inf),
            primary=kernel == KERNELS[-1],
            published=published_step(scale, PAPER, kernel, KERNELS[0]),
        )


studies.add(
    Study(
        name="kernel_accuracy",
        question="Do larger kernels help ConvMixer?",
        headline="Larger kernels make ConvMixer more accurate",
        claim="Convolution kernels of 9 x 9 instead of 3 x 3 gain ConvMixer at least half "
        "a point of accuracy.",
        claims=(8,),
        paper="results",
        needs=needs,
        judge=judge,
        trains=True,
    )
)
