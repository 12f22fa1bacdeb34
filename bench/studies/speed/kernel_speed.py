"""Do large kernels cost ConvMixer more time than their multiply-adds say?

From 3 x 3 to 9 x 9, the multiply-adds of ConvMixer-1536/20 grow by 5 %. The claim holds if the time
grows by at least 10 % more than they do.
"""

from collections.abc import Iterator
from math import inf

from bench.claims.evidence import Evidence, Speed
from bench.claims.rules import Finding
from bench.plugins import Need, Study, studies
from bench.studies._timed import ratio, timed

KERNELS = (3, 5, 7, 9)
NAME = "convmixer_1536_20_k{}_p7"
INTEREST = 1.1


def needs(scale: None, device: str) -> list[Need]:
    what, models = "latency with kernels of 3 to 9", map(NAME.format, KERNELS)
    return [timed(what, models, device, metrics=("latency",), batch_sizes=(1,))]


def judge(evidence: Evidence, scale: None) -> Iterator[Finding]:
    small = NAME.format(KERNELS[0])
    for kernel in KERNELS[1:]:
        large = NAME.format(kernel)
        after, before = evidence.count(large, "macs"), evidence.count(small, "macs")
        grown = after / before if after and before else 1.0
        yield ratio(
            evidence,
            f"latency with kernel {kernel} : kernel 3",
            Speed(large),
            Speed(small),
            (INTEREST * grown, inf),
            metric="latency",
            primary=kernel == KERNELS[-1],
            note=f"multiply-adds grow by {grown:.3f}",
        )


studies.add(
    Study(
        name="kernel_speed",
        question="Do large kernels cost ConvMixer more time than their multiply-adds say?",
        headline="Large kernels cost more than their arithmetic",
        claim="Kernels of 9 x 9 instead of 3 x 3 slow ConvMixer down by at least a tenth "
        "more than their extra arithmetic would.",
        claims=(8,),
        needs=needs,
        judge=judge,
        trains=False,
    )
)
