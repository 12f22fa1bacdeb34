"""How much slower is ConvMixer, and is that because its patches are small?

ConvMixer-768/32 against transformers of equal parameters, of equal multiply-adds, and of equal tokens and parameters.
The last one is its twin on the same grid, and splits the gap at equal parameters:

    whole   = ConvMixer : ViT with the usual patch of 16
    grid    = ViT on ConvMixer's grid : ViT with the usual patch
    mixer   = what ConvMixer's multiply-adds would make of its twin's speed, were all multiply-adds alike
    kernels = the rest: multiply-adds per second of ConvMixer : those of its twin

so that grid x mixer x kernels is the whole. "Because patches are small" asks that the grid has more than half of the
whole (in logarithms), and "slower" that the whole is below 0.9.
"""

import math
from collections.abc import Iterator
from math import inf

from bench.evidence import Evidence, Speed
from bench.plugins import Need, Study, studies
from bench.stats import mean_effect
from bench.verdicts import Finding

from ._timed import ratio, timed

CONVMIXER = Speed("convmixer_768_32")
PARAMETERS = Speed("vit_384_12_p16_h6_m1440")
MACS = Speed("vit_800_13_p16_h25_m3200")
TOKENS = Speed("vit_384_12_p7_h6_m1440")
OTHERS = {"MLP-Mixer": Speed("mixer_544_8_p16_t272_m2176"), "ResNet": Speed("resnet_58_3-4-6-3_bottleneck_s7")}


def needs(scale: None, device: str) -> list[Need]:
    models = [one.model for one in (CONVMIXER, PARAMETERS, MACS, TOKENS, *OTHERS.values())]
    return [timed("throughput at equal parameters, multiply-adds and tokens", models, device, worth=6.0)]


def judge(evidence: Evidence, scale: None) -> Iterator[Finding]:
    slower = (0.0, 0.9)
    yield ratio(evidence, "ConvMixer : ViT images/s at equal parameters (the whole)", CONVMIXER, PARAMETERS, slower)
    for name, other in OTHERS.items():
        yield ratio(evidence, f"ConvMixer : {name} images/s at equal parameters", CONVMIXER, other, slower, primary=False)
    yield ratio(evidence, "ConvMixer : ViT images/s at equal multiply-adds", CONVMIXER, MACS, slower, primary=False)
    yield ratio(evidence, "ConvMixer : ViT images/s at equal tokens and parameters", CONVMIXER, TOKENS, slower, primary=False)
    yield from _parts(evidence)


def _parts(evidence: Evidence) -> Iterator[Finding]:
    """Of every round its own split, so that the parts of a round multiply to its whole."""
    counts = [evidence.count(one.model, "macs") for one in (CONVMIXER, TOKENS)]
    mixer = math.log(counts[1] / counts[0]) if counts[0] and counts[1] else None
    rounds = evidence.per_round([CONVMIXER, PARAMETERS, TOKENS], "throughput") if mixer is not None else []
    grid = [math.log(twin / usual) for _, usual, twin in rounds]
    kernels = [math.log(conv / twin) - (mixer or 0.0) for conv, _, twin in rounds]
    shares = [math.log(twin / usual) / math.log(conv / usual) for conv, usual, twin in rounds if conv != usual]
    yield Finding(
        what="share of the grid in the whole", unit="share", region=(0.5, inf), effect=mean_effect(shares), note=_product(evidence, mixer)
    )
    for name, values in (("grid", grid), ("kernels", kernels)):
        yield Finding(what=f"part of the {name}", unit="×", region=(0.0, 0.9), effect=mean_effect(values), primary=False)
    value = None if mixer is None else math.exp(mixer)
    yield Finding(what="part of the mixer (multiply-adds, exact)", unit="×", region=(0.0, 0.9), effect=None, value=value, primary=False)


def _product(evidence: Evidence, mixer: float | None) -> str:
    """The parts, each from its own paired ratio, multiplied and held against the whole."""
    whole = evidence.ratio(CONVMIXER, PARAMETERS, "throughput")
    grid = evidence.ratio(TOKENS, PARAMETERS, "throughput")
    twins = evidence.ratio(CONVMIXER, TOKENS, "throughput")
    if mixer is None or not (whole and grid and twins):
        return ""
    product = grid.value * math.exp(mixer) * (twins.value / math.exp(mixer))
    return f"grid × mixer × kernels = {product:.3f}, {'inside' if whole.holds(product) else 'OUTSIDE'} the whole's interval"


studies.add(
    Study(
        name="inference_cost",
        question="Is ConvMixer slower than the others, and is that because its patches are small?",
        claims=(3,),
        needs=needs,
        judge=judge,
        trains=False,
    )
)
