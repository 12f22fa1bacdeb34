"""Is attention's cost quadratic in tokens and ConvMixer's linear, and where do they cross?

The models have the budgets of ViT-S and ConvMixer-768/32 (22 M parameters) and the same grids.
Tokens grow in two ways: by the image (112 to 896 pixels in patches of 16) and by the patch (32 to 4
pixels of a 224 pixel image). The exponent is the slope of log latency over log tokens. "Quadratic"
is asked of the two finest grids, where the quadratic part of attention is largest.

Much of memory does not grow, namely the weights. Its exponent is that of the part which does, from
the increments between three grids. The smallest effect of interest is half a unit of exponent from
linear.
"""

from collections.abc import Iterator
from math import inf
from typing import Any

from bench.claims.evidence import Evidence, Speed, crossing, exponent_over_constant, slope_of
from bench.claims.rules import Finding
from bench.plugins import Need, Study, studies
from bench.stats.formatting import interval
from bench.studies._timed import combined, ratio, timed

SIZES = (112, 224, 448, 896)
PATCHES = (32, 16, 8, 4)
BY_IMAGE = {
    "convmixer": "convmixer_768_32_k7_p16_relu",
    "vit": "vit_s16",
    "mixer": "mixer_512_8_p16",
    "resnet": "resnet50",
}
BY_PATCH = {"convmixer": "convmixer_768_32_k7_p{}_relu", "vit": "vit_384_12_p{}"}
TOKENS = [float((size // 16) ** 2) for size in SIZES]  # the same for both ways
LINEAR, QUADRATIC = (0.8, 1.2), (1.5, inf)


def needs(scale: None, device: str) -> list[Need]:
    common: dict[str, Any] = {
        "metrics": ("latency", "memory"),
        "batch_sizes": (1,),
        "time_budget": 360.0,
        "target_ci": None,
    }
    what = "latency and memory over image sizes"
    by_image = timed(what, BY_IMAGE.values(), device, worth=5.0, image_size=SIZES, **common)
    names: list[str] = []
    for name in BY_PATCH.values():
        names += map(name.format, PATCHES)
    return [
        by_image,
        timed("latency and memory over patch sizes", names, device, worth=4.0, **common),
    ]


def judge(evidence: Evidence, scale: None) -> Iterator[Finding]:
    by_image = {}
    for family, name in BY_IMAGE.items():
        by_image[family] = [Speed(name, size) for size in SIZES]
    by_patch = {}
    for family, name in BY_PATCH.items():
        by_patch[family] = [Speed(name.format(patch)) for patch in PATCHES]
    for way, arms in (("image", by_image), ("patch", by_patch)):
        for family, speeds in arms.items():
            yield from _exponents(evidence, family, way, speeds)
        yield _crossing(evidence, way, arms["convmixer"], arms["vit"])


def _exponents(evidence: Evidence, family: str, way: str, speeds: list[Speed]) -> Iterator[Finding]:
    """Yield a family's exponents of latency and memory, for tokens that grow by image or patch."""
    yield _exponent(
        evidence,
        f"{family}: latency over tokens by {way}, two finest grids",
        speeds[-2:],
        QUADRATIC if family == "vit" else LINEAR,
        primary=way == "image" and family in ("vit", "convmixer"),
    )
    what = f"{family}: latency over tokens by {way}, all grids"
    yield _exponent(evidence, what, speeds, LINEAR, primary=False)
    what = f"{family}: memory over tokens by {way}, over a constant, three finest grids"
    yield _memory(evidence, what, speeds[-3:])


def _exponent(
    evidence: Evidence,
    what: str,
    speeds: list[Speed],
    region: tuple[float, float],
    *,
    primary: bool,
) -> Finding:
    """Return the exponent of latency over tokens; `speeds` are on the finest grids."""
    slope = slope_of(speeds, TOKENS[-len(speeds) :])
    return combined(
        evidence, what, slope, region, metric="latency", unit="exponent", primary=primary
    )


def _memory(evidence: Evidence, what: str, speeds: list[Speed]) -> Finding:
    """Return the exponent of memory over three grids, each with four times the tokens.

    Weights and whatever else does not grow cancel. It is measured once and has no interval, because
    allocators repeat themselves exactly.
    """
    peaks = [evidence.median(speed, "memory") for speed in speeds]
    return Finding(
        what=what,
        unit="exponent",
        region=LINEAR,
        effect=None,
        value=exponent_over_constant(peaks, TOKENS[-3:]),
        primary=False,
    )


def _crossing(evidence: Evidence, way: str, left: list[Speed], right: list[Speed]) -> Finding:
    """Return how the two compare on the finest grid, and in the note where they cross, if known."""
    meets = crossing(evidence, left, right, TOKENS, "latency")
    return ratio(
        evidence,
        f"ConvMixer : ViT latency at {TOKENS[-1]:,.0f} tokens by {way}",
        left[-1],
        right[-1],
        (0, 1 / 1.1),
        metric="latency",
        primary=False,
        note="" if meets is None else f"they cross at {interval(meets, places=0)} tokens",
    )


studies.add(
    Study(
        name="resolution_cost",
        question="Is attention's cost quadratic in tokens and ConvMixer's linear, "
        "and where do they cross?",
        headline="Attention's cost is quadratic, ConvMixer's not",
        claim="As a picture is cut into more patches, the time of a vision transformer "
        "grows with the square of their number and that of ConvMixer in proportion "
        "to it.",
        claims=(14,),
        paper="abstract",
        needs=needs,
        judge=judge,
        trains=False,
    )
)
