"""How much slower is ConvMixer, and is that because its patches are small?

ConvMixer-768/32 is compared with transformers of equal parameters, of equal multiply-adds, and of
equal tokens and parameters. The last one is its twin on the same grid and splits the ratio at equal
parameters into parts:

    whole   = ConvMixer : ViT with the usual patch of 16
    grid    = ViT on ConvMixer's grid : ViT with the usual patch
    mixer   = twin's multiply-adds : ConvMixer's, as if all multiply-adds were alike
    kernels = the rest: multiply-adds per second of ConvMixer : those of its twin

so that grid x mixer x kernels is the whole. The grid's share depends on the order of the changes:
first the transformer's grid gets finer and then attention becomes a convolution, or first attention
becomes a convolution and then its grid gets finer. Both shares are shown. "Because patches are
small" asks that their mean (Shapley's) is more than half of the whole (in logarithms), and "slower"
that the whole is below 0.9.
"""

import math
from collections.abc import Iterator
from math import inf
from typing import Any

from bench.claims.evidence import Evidence, Speed
from bench.claims.rules import Finding
from bench.plugins import Need, Study, studies
from bench.studies._timed import combined, ratio, timed

CONVMIXER = Speed("convmixer_768_32")
PARAMETERS = Speed("vit_384_12_p16_h6_m1440")
MACS = Speed("vit_800_13_p16_h25_m3200")
TOKENS = Speed("vit_384_12_p7_h6_m1440")
COARSE = Speed("convmixer_768_32_k7_p16_relu")
"""ConvMixer on the transformer's usual grid."""
OTHERS = {
    "MLP-Mixer": Speed("mixer_544_8_p16_t272_m2176"),
    "ResNet": Speed("resnet_58_3-4-6-3_bottleneck_s7"),
}
SLOWER = SMALL = (0.0, 0.9)


def needs(scale: None, device: str) -> list[Need]:
    speeds = (CONVMIXER, PARAMETERS, MACS, TOKENS, COARSE, *OTHERS.values())
    what = "throughput at equal parameters, multiply-adds and tokens"
    return [timed(what, [speed.model for speed in speeds], device, worth=6.0)]


def judge(evidence: Evidence, scale: None) -> Iterator[Finding]:
    what = "ConvMixer : ViT images/s at equal parameters (the whole)"
    yield ratio(evidence, what, CONVMIXER, PARAMETERS, SLOWER)
    beside = {f"{name} images/s at equal parameters": other for name, other in OTHERS.items()}
    beside["ViT images/s at equal multiply-adds"] = MACS
    beside["ViT images/s at equal tokens and parameters"] = TOKENS
    for name, other in beside.items():
        yield ratio(evidence, f"ConvMixer : {name}", CONVMIXER, other, SLOWER, primary=False)
    yield from _shares(evidence)
    yield from _parts(evidence, _mixer(evidence))


def _shares(evidence: Evidence) -> Iterator[Finding]:
    """Yield the grid's share of the whole: the mean over both orders, then each."""
    whole = {CONVMIXER: 1.0, PARAMETERS: -1.0}
    mean = {CONVMIXER: 0.5, COARSE: -0.5, TOKENS: 0.5, PARAMETERS: -0.5}
    orders = {
        "the transformer's": {TOKENS: 1.0, PARAMETERS: -1.0},
        "the convolution's": {CONVMIXER: 1.0, COARSE: -1.0},
    }
    what = "share of the grid in the whole, mean of both orders"
    yield _share(evidence, what, mean, whole, note=_product(evidence, _mixer(evidence)))
    for name, grid in orders.items():
        what = f"share of the grid, where it is {name} that gets finer"
        yield _share(evidence, what, grid, whole, primary=False)


def _share(
    evidence: Evidence, what: str, part: dict[Speed, float], whole: dict[Speed, float], **more: Any
) -> Finding:
    numerator = evidence.value(part, "throughput")
    denominator = evidence.value(whole, "throughput")
    value = numerator / denominator if numerator is not None and denominator else None
    effect = evidence.share(part, whole, "throughput")
    return Finding(what=what, unit="share", region=(0.5, inf), effect=effect, value=value, **more)


def _parts(evidence: Evidence, mixer: float | None) -> Iterator[Finding]:
    """Yield the parts whose product is the whole."""
    grid = {TOKENS: 1.0, PARAMETERS: -1.0}
    yield combined(evidence, "part of the grid", grid, SMALL, primary=False)
    kernels, multiply_adds = "part of the kernels", "part of the mixer (multiply-adds)"
    if mixer is None:
        for what in (kernels, multiply_adds):
            yield Finding(what=what, unit="×", region=SMALL, effect=None, primary=False)
        return
    twins = {CONVMIXER: 1.0, TOKENS: -1.0}
    yield combined(evidence, kernels, twins, SMALL, less=mixer, primary=False)
    yield Finding(
        what=multiply_adds,
        unit="×",
        region=SMALL,
        effect=None,
        value=math.exp(mixer),
        exact=True,
        primary=False,
    )


def _mixer(evidence: Evidence) -> float | None:
    """Return the logarithm of the twin's multiply-adds over ConvMixer's; None if not counted."""
    own, twin = evidence.count(CONVMIXER.model, "macs"), evidence.count(TOKENS.model, "macs")
    return math.log(twin / own) if own and twin else None


def _product(evidence: Evidence, mixer: float | None) -> str:
    """Return a note: the product of the parts' own paired ratios, compared with the whole."""
    whole = evidence.ratio(CONVMIXER, PARAMETERS, "throughput")
    grid = evidence.ratio(TOKENS, PARAMETERS, "throughput")
    twins = evidence.ratio(CONVMIXER, TOKENS, "throughput")
    if mixer is None or not (whole and grid and twins):
        return ""
    product = grid.value * math.exp(mixer) * (twins.value / math.exp(mixer))
    where = "inside" if whole.holds(product) else "OUTSIDE"
    return f"grid × mixer × kernels = {product:.3f}, {where} the whole's interval"


studies.add(
    Study(
        name="inference_cost",
        question="Is ConvMixer slower than the others, and is that because its patches are small?",
        headline="ConvMixer is slow because patches are small",
        claim="At equal numbers of parameters, ConvMixer is at least a tenth slower than a "
        "vision transformer, and more than half of that is due to its smaller "
        "patches.",
        claims=(3,),
        paper="results",
        needs=needs,
        judge=judge,
        trains=False,
    )
)
