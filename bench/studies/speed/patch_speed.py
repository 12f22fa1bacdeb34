"""Does a patch of 14 instead of 7 make ConvMixer about four times faster?

The claim says "about 4", since its MACs fall by 3.95. About is within a fifth.
"""

from collections.abc import Iterator
from itertools import chain

from bench.claims.evidence import Evidence, Speed
from bench.claims.rules import Finding
from bench.plugins import Need, Study, studies
from bench.studies._timed import ratio, timed

ABOUT_FOUR = (3.2, 4.8)
PRIMARY = "ConvMixer-1536/20"
PAIRS = {
    "ConvMixer-1536/20": ("convmixer_1536_20_k9_p14", "convmixer_1536_20"),
    "ConvMixer-768/32": ("convmixer_768_32_k7_p14_relu", "convmixer_768_32"),
}


def needs(scale: None, device: str) -> list[Need]:
    models = chain.from_iterable(PAIRS.values())
    return [timed("throughput with patches of 7 and 14", models, device, worth=4.0)]


def judge(evidence: Evidence, scale: None) -> Iterator[Finding]:
    for name, (coarse, fine) in PAIRS.items():
        before, after = evidence.count(fine, "macs"), evidence.count(coarse, "macs")
        yield ratio(
            evidence,
            f"{name}: images/s with patch 14 : patch 7",
            Speed(coarse),
            Speed(fine),
            ABOUT_FOUR,
            primary=name == PRIMARY,
            note=f"multiply-adds fall by {before / after:.2f}" if before and after else "",
        )


studies.add(
    Study(
        name="patch_speed",
        question="Does patch 14 instead of 7 make ConvMixer about 4 times faster?",
        headline="Patch 14 is about 4 times as fast as patch 7",
        claim="Patches of 14 instead of 7 pixels make ConvMixer about four times as fast.",
        claims=(4,),
        paper="results",
        needs=needs,
        judge=judge,
        trains=False,
    )
)
