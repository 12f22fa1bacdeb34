"""How much slower is ConvMixer, and is that because its patches are small?

ConvMixer-768/32 against transformers of equal parameters, of equal multiply-adds, and of equal tokens and parameters.
The last one is its twin on the same grid, and splits the gap at equal parameters:

    whole   = ConvMixer : ViT with the usual patch of 16
    grid    = ViT on ConvMixer's grid : ViT with the usual patch
    mixer   = what ConvMixer's multiply-adds would make of its twin's speed, were all multiply-adds alike
    kernels = the rest: multiply-adds per second of ConvMixer : those of its twin

so that grid x mixer x kernels is the whole. What the grid has of it depends on the order in which grid and mixer are
changed: the transformer's grid gets finer and then attention becomes a convolution, or the convolution's grid gets finer
after that. Both shares stand beside each other; "because patches are small" asks that their mean (Shapley's) is more than
half of the whole (in logarithms), and "slower" that the whole is below 0.9.
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


def needs(scale: None, device: str) -> list[Need]:
    models = [one.model for one in (CONVMIXER, PARAMETERS, MACS, TOKENS, COARSE, *OTHERS.values())]
    return [
        timed("throughput at equal parameters, multiply-adds and tokens", models, device, worth=6.0)
    ]


def judge(evidence: Evidence, scale: None) -> Iterator[Finding]:
    slower = (0.0, 0.9)
    yield ratio(
        evidence,
        "ConvMixer : ViT images/s at equal parameters (the whole)",
        CONVMIXER,
        PARAMETERS,
        slower,
    )
    for name, other in OTHERS.items():
        yield ratio(
            evidence,
            f"ConvMixer : {name} images/s at equal parameters",
            CONVMIXER,
            other,
            slower,
            primary=False,
        )
    yield ratio(
        evidence,
        "ConvMixer : ViT images/s at equal multiply-adds",
        CONVMIXER,
        MACS,
        slower,
        primary=False,
    )
    yield ratio(
        evidence,
        "ConvMixer : ViT images/s at equal tokens and parameters",
        CONVMIXER,
        TOKENS,
        slower,
        primary=False,
    )
    yield from _parts(evidence)


def _parts(evidence: Evidence) -> Iterator[Finding]:
    """What the grid has of the whole, in both orders, and the parts that multiply to the whole."""
    whole = {CONVMIXER: 1.0, PARAMETERS: -1.0}
    orders = {
        "the transformer's": {TOKENS: 1.0, PARAMETERS: -1.0},
        "the convolution's": {CONVMIXER: 1.0, COARSE: -1.0},
    }
    mean = {CONVMIXER: 0.5, COARSE: -0.5, TOKENS: 0.5, PARAMETERS: -0.5}
    counts = [evidence.count(one.model, "macs") for one in (CONVMIXER, TOKENS)]
    mixer = math.log(counts[1] / counts[0]) if counts[0] and counts[1] else None
    what = "share of the grid in the whole, mean of both orders"
    yield _share(evidence, what, mean, whole, note=_product(evidence, mixer))
    for name, grid in orders.items():
        yield _share(
            evidence,
            f"share of the grid, where it is {name} that gets finer",
            grid,
            whole,
            primary=False,
        )
    small = (0.0, 0.9)
    yield combined(evidence, "part of the grid", orders["the transformer's"], small, primary=False)
    kernels, multiply_adds = "part of the kernels", "part of the mixer (multiply-adds)"
    if mixer is None:
        for what in (kernels, multiply_adds):
            yield Finding(what=what, unit="×", region=small, effect=None, primary=False)
        return
    yield combined(
        evidence, kernels, {CONVMIXER: 1.0, TOKENS: -1.0}, small, less=mixer, primary=False
    )
    yield Finding(
        what=multiply_adds,
        unit="×",
        region=small,
        effect=None,
        value=math.exp(mixer),
        exact=True,
        primary=False,
    )


def _share(
    evidence: Evidence, what: str, part: dict[Speed, float], whole: dict[Speed, float], **more: Any
) -> Finding:
    values = [evidence.value(one, "throughput") for one in (part, whole)]
    value = values[0] / values[1] if values[0] is not None and values[1] else None
    effect = evidence.share(part, whole, "throughput")
    return Finding(what=what, unit="share", region=(0.5, inf), effect=effect, value=value, **more)


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
