"""Does a patch of 14 instead of 7 make ConvMixer about four times faster?

The claim's figure is "about 4": its MACs fall by 3.95. About is taken as within a fifth.
"""

from collections.abc import Iterator

from bench.claims.evidence import Evidence, Speed
from bench.claims.rules import Finding
from bench.plugins import Need, Study, studies
from bench.studies._timed import ratio, timed

PAIRS = {
    "ConvMixer-1536/20": ("convmixer_1536_20_k9_p14", "convmixer_1536_20"),
    "ConvMixer-768/32": ("convmixer_768_32_k7_p14_relu", "convmixer_768_32"),
}


def needs(scale: None, device: str) -> list[Need]:
    return [
        timed(
            "throughput with patches of 7 and 14",
            [name for pair in PAIRS.values() for name in pair],
            device,
            worth=4.0,
        )
    ]


def judge(evidence: Evidence, scale: None) -> Iterator[Finding]:
    for name, (coarse, fine) in PAIRS.items():
        macs = [evidence.count(model, "macs") for model in (fine, coarse)]
        note = f"multiply-adds fall by {macs[0] / macs[1]:.2f}" if macs[0] and macs[1] else ""
        what = f"{name}: images/s with patch 14 : patch 7"
        yield ratio(
            evidence,
            what,
            Speed(coarse),
            Speed(fine),
            (3.2, 4.8),
            primary=name == "ConvMixer-1536/20",
            note=note,
        )


studies.add(
    Study(
        name="patch_speed",
        question="Does patch 14 instead of 7 make ConvMixer about 4 times faster?",
        claims=(4,),
        needs=needs,
        judge=judge,
        trains=False,
    )
)
