"""Is attention's cost quadratic in tokens where ConvMixer's is linear, and where do they cross?

The models have ViT-S's and ConvMixer-768/32's budgets (22 M parameters) and the same grids. Tokens grow in two ways:
by the image (112 to 896 pixels in patches of 16) and by the patch (32 to 4 pixels of a 224 pixel image). The exponent
is the slope of log latency over log tokens; "quadratic" is asked between the two finest grids,
where attention's quadratic part is largest. Memory has a large part that does not grow, the weights: its exponent is that of
what comes on top, from the increments between three grids. The smallest effect of interest is half a unit of exponent from linear.
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
REGIONS = {"vit": (1.5, inf), "convmixer": (0.8, 1.2), "mixer": (0.8, 1.2), "resnet": (0.8, 1.2)}


def needs(scale: None, device: str) -> list[Need]:
    names = [name.format(patch) for name in BY_PATCH.values() for patch in PATCHES]
    common: dict[str, Any] = {
        "metrics": ("latency", "memory"),
        "batch_sizes": (1,),
        "time_budget": 240.0,
        "target_ci": None,
    }
    return [
        timed(
            "latency and memory over image sizes",
            BY_IMAGE.values(),
            device,
            worth=5.0,
            image_size=SIZES,
            **common,
        ),
        timed("latency and memory over patch sizes", names, device, worth=4.0, **common),
    ]


def judge(evidence: Evidence, scale: None) -> Iterator[Finding]:
    by_image = {family: [Speed(name, size) for size in SIZES] for family, name in BY_IMAGE.items()}
    by_patch = {
        family: [Speed(name.format(patch)) for patch in PATCHES]
        for family, name in BY_PATCH.items()
    }
    for way, arms in (("image", by_image), ("patch", by_patch)):
        for family, speeds in arms.items():
            yield _exponent(
                evidence,
                f"{family}: latency over tokens by {way}, two finest grids",
                speeds[-2:],
                TOKENS[-2:],
                REGIONS[family],
                way,
            )
            yield _exponent(
                evidence,
                f"{family}: latency over tokens by {way}, all grids",
                speeds,
                TOKENS,
                (0.8, 1.2),
                "",
            )
            yield _memory(
                evidence,
                f"{family}: memory over tokens by {way}, over a constant, three finest grids",
                speeds[-3:],
            )
        yield _crossing(evidence, way, arms["convmixer"], arms["vit"])


def _exponent(
    evidence: Evidence,
    what: str,
    speeds: list[Speed],
    tokens: list[float],
    region: tuple[float, float],
    way: str,
) -> Finding:
    primary = way == "image" and speeds[0].model in (BY_IMAGE["vit"], BY_IMAGE["convmixer"])
    return combined(
        evidence,
        what,
        slope_of(speeds, tokens),
        region,
        metric="latency",
        unit="exponent",
        primary=primary,
    )


def _memory(evidence: Evidence, what: str, speeds: list[Speed]) -> Finding:
    """By how much it grows from grid to grid, each four times as fine: weights and whatever else does not grow drop out.

    Allocators repeat themselves: measured once, and without an interval.
    """
    value = exponent_over_constant([evidence.median(one, "memory") for one in speeds], TOKENS[-3:])
    return Finding(
        what=what, unit="exponent", region=(0.8, 1.2), effect=None, value=value, primary=False
    )


def _crossing(evidence: Evidence, way: str, left: list[Speed], right: list[Speed]) -> Finding:
    """How the two compare on the finest grid, and from how many tokens on the other one is the faster, where that is known."""
    meets = crossing(evidence, left, right, TOKENS, "latency")
    note = "" if meets is None else f"they cross at {interval(meets, places=0)} tokens"
    what = f"ConvMixer : ViT latency at {TOKENS[-1]:,.0f} tokens by {way}"
    return ratio(
        evidence,
        what,
        left[-1],
        right[-1],
        (0, 1 / 1.1),
        metric="latency",
        primary=False,
        note=note,
    )


studies.add(
    Study(
        name="resolution_cost",
        question="Is attention's cost quadratic in tokens and ConvMixer's linear, and where do they cross?",
        claims=(14,),
        needs=needs,
        judge=judge,
        trains=False,
    )
)
