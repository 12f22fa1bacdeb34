"""Do multiply-adds predict how long an architecture takes?

Forty published architectures are timed at batch 1 and 224 pixels, and ranked by their exact
multiply-adds and by their latency. Each has a paper or a name of its own: sizes of one design are
variations of it and would count as one architecture several times. Their sizes are from 0.1 to 6 G
multiply-adds, the range in which people choose for a CPU. A wider range would be easier to rank.

Kendall's tau rather than Spearman's coefficient, because it says how often a choice is right: of
two architectures, the one with fewer multiply-adds is the faster in a share of (1 + tau) / 2 of
all pairs. Multiply-adds predict the time if that is at least nine pairs in ten, tau 0.8; the claim
that they do not holds below. Somebody who picks by them is then wrong more than once in ten times,
and would have been wrong five times with a coin. The interval accounts for the number of
architectures and for the rounds (bench/stats/ranks.py).

Next to it stands the largest factor between two architectures with equal multiply-adds, within
10 %. The pair is chosen in every other round and measured in those between: chosen and measured in
the same rounds, it would also be the luckiest.

Depthwise and pointwise convolutions are compared inside ConvMixers, whose blocks have one of each
with the same width and grid: their multiply-adds per second in the same windows, with filters of
3 x 3 as in MobileNet and 9 x 9 as in ConvMixer. The claim holds if depthwise layers reach at most
half the rate: then their multiply-adds count at least double. It is made of CPUs; on other devices
the layers decide nothing.
"""

from collections.abc import Iterator, Mapping
from itertools import permutations
from math import inf
from statistics import median

from bench.claims.evidence import Evidence, Speed
from bench.claims.rules import Finding
from bench.plugins import Need, Study, studies
from bench.stats.formatting import number
from bench.stats.intervals import Effect
from bench.stats.paired import Rounds, effect_of, sum_of
from bench.stats.ranks import kendall, rank_correlation
from bench.studies._timed import of_rounds, timed

AGAINST = "vit_s16"
"""The architecture that every latency is a ratio to, paired by rounds; this leaves ranks alone."""
MODELS = (
    # Convolutions
    "resnet50",
    "convmixer_1024_20",
    "timm:convnext_nano",
    "timm:densenet121",
    "timm:dla34",
    "timm:dpn68",
    "timm:efficientnet_b0",
    "timm:ghostnet_100",
    "timm:hgnetv2_b0",
    "timm:hrnet_w18_small",
    "timm:inception_next_tiny",
    "timm:mambaout_femto",
    "timm:mobilenetv2_100",
    "timm:mobilenetv3_large_100",
    "timm:regnety_008",
    "timm:rexnet_100",
    "timm:selecsls42b",
    "timm:starnet_s1",
    # Pooling, and linear layers over tokens
    "timm:poolformer_s12",
    "timm:gmlp_s16_224",
    "mixer_s16",
    "resmlp_s12",
    # Attention
    AGAINST,
    "timm:cait_xxs24_224",
    "timm:convit_tiny",
    "timm:davit_tiny",
    "timm:focalnet_tiny_srf",
    "timm:hiera_tiny_224",
    "timm:pit_xs_224",
    "timm:pvt_v2_b1",
    "timm:swin_tiny_patch4_window7_224",
    "timm:twins_svt_small",
    "timm:xcit_tiny_12_p16_224",
    # Convolutions and attention
    "timm:caformer_s18",
    "timm:coat_lite_tiny",
    "timm:efficientformer_l1",
    "timm:efficientvit_b1",
    "timm:levit_128",
    "timm:tiny_vit_5m_224",
    "timm:visformer_tiny",
)
FEWEST = 20
"""Fewest architectures to speak of: what cannot be measured somewhere is left out and named."""
LAYERS = {
    "3 × 3, width 512 on 28 × 28": "convmixer_512_4_k3_p8",
    "9 × 9, width 512 on 28 × 28": "convmixer_512_4_k9_p8",
    "7 × 7, width 768 on 32 × 32": "convmixer_768_4_k7_p7_relu",
}
DECIDING = 2
"""The first layers decide; the last are those of ConvMixer-768/32."""
EQUAL = 1.1
"""Multiply-adds within this factor are equal."""
UNPREDICTED = (-inf, 0.8)
TWICE = (2.0, inf)
HALF_THE_RATE = (0.0, 0.5)
Sides = list[tuple[float, Rounds[tuple[str, int]]]]
"""Pairs of a weight and one value per run and round."""


def needs(scale: None, device: str) -> list[Need]:
    return [
        timed(
            f"latency of {len(MODELS)} architectures",
            MODELS,
            device,
            worth=5.0,
            metrics=("latency",),
            batch_sizes=(1,),
            image_size=(224,),
            time_budget=390.0,
            target_ci=None,
        ),
        timed(
            "time of depthwise and pointwise layers",
            LAYERS.values(),
            device,
            metrics=("latency", "layer_time"),
            batch_sizes=(1,),
            image_size=(224,),
            rounds=6,
            time_budget=None,
            target_ci=None,
        ),
    ]


def judge(evidence: Evidence, scale: None) -> Iterator[Finding]:
    macs = _counted(evidence)
    yield _ranking(evidence, macs)
    yield _largest_factor(evidence, macs)
    for place, (layers, model) in enumerate(LAYERS.items()):
        primary = place < DECIDING and evidence.kind == "cpu"
        yield _layers(evidence, layers, model, primary=primary)


def _counted(evidence: Evidence) -> dict[str, float]:
    """Return the multiply-adds of every architecture that was counted and timed next to AGAINST."""
    macs = {}
    for model in MODELS:
        count = evidence.count(model, "macs")
        if count and _value(evidence, model) is not None:
            macs[model] = count
    return macs


def _value(evidence: Evidence, model: str) -> float | None:
    """Return the logarithm of a latency's ratio to that of AGAINST; None without common rounds."""
    timed_rounds = evidence.rounds(Speed(model), "latency")
    return sum_of([(1.0, timed_rounds), (-1.0, evidence.rounds(Speed(AGAINST), "latency"))])


def _ranking(evidence: Evidence, macs: Mapping[str, float]) -> Finding:
    """Return the finding about the rank correlation of multiply-adds and latency."""
    effect, value, note = None, None, ""
    if len(macs) >= FEWEST:
        logs = [_value(evidence, model) or 0.0 for model in macs]
        value = kendall(list(macs.values()), logs)
        ratios = [_ratio(evidence, model) for model in macs]
        known = [ratio for ratio in ratios if ratio is not None]
        if len(known) == len(ratios):
            effect = rank_correlation(list(macs.values()), known)
        note = _said(macs, value)
    return of_rounds(
        "rank correlation (Kendall's tau) of multiply-adds and latency",
        UNPREDICTED,
        effect,
        value,
        unit="rank correlation",
        of="architectures",
        note=note,
    )


def _ratio(evidence: Evidence, model: str) -> Effect | None:
    """Return the logarithm of a latency's ratio to that of AGAINST, whose own is exactly 0."""
    if model == AGAINST:
        return Effect(0.0, 0.0, inf, len(evidence.rounds(Speed(model), "latency")))
    return evidence.effect(Speed(model), Speed(AGAINST), "latency")


def _said(macs: Mapping[str, float], tau: float) -> str:
    """Return what a tau means, over which architectures, and which of them are missing."""
    low, high = min(macs.values()) / 1e9, max(macs.values()) / 1e9
    said = (
        f"of two of {len(macs)} architectures from {low:.2g} to {high:.2g} GMACs, the one with "
        f"fewer multiply-adds was faster in {50 * (1 + tau):.0f} % of pairs"
    )
    missing = [model for model in MODELS if model not in macs]
    return f"{said}; not measured: {', '.join(missing)}" if missing else said


def _largest_factor(evidence: Evidence, macs: Mapping[str, float]) -> Finding:
    """Return the finding about the two latencies that are farthest apart at equal multiply-adds."""
    apart: dict[tuple[str, str], float] = {}
    for slow, fast in permutations(macs, 2):
        if max(macs[slow], macs[fast]) <= EQUAL * min(macs[slow], macs[fast]):
            found = sum_of(_latencies(evidence, slow, fast, parity=0))
            if found is not None:
                apart[slow, fast] = found
    effect, value, note = None, None, ""
    if apart:
        slow, fast = max(apart, key=lambda pair: apart[pair])
        measured = _latencies(evidence, slow, fast, parity=1)
        effect, value = effect_of(measured), sum_of(measured)
        note = f"{slow} : {fast}, of {len(apart) // 2} pairs"
    return of_rounds(
        "largest factor between latencies at equal multiply-adds (within 10 %)",
        TWICE,
        effect,
        value,
        primary=False,
        note=note,
    )


def _latencies(evidence: Evidence, left: str, right: str, *, parity: int) -> Sides:
    """Return both sides of a ratio of latencies, in the even (0) or the odd rounds (1)."""
    sides: Sides = []
    for weight, model in ((1.0, left), (-1.0, right)):
        rounds = evidence.rounds(Speed(model), "latency")
        sides.append((weight, {at: rounds[at] for at in rounds if at[1] % 2 == parity}))
    return sides


def _layers(evidence: Evidence, layers: str, model: str, *, primary: bool) -> Finding:
    """Return the finding about the rate of depthwise layers over that of pointwise layers."""
    depthwise = evidence.layer_rates(Speed(model), "depthwise convolution")
    pointwise = evidence.layer_rates(Speed(model), "pointwise convolution")
    note = ""
    if depthwise and pointwise:
        rates = [number(median(rates.values()) / 1e9) for rates in (depthwise, pointwise)]
        note = f"{' : '.join(rates)} GMAC/s in {model}"
    sides: Sides = [(1.0, depthwise), (-1.0, pointwise)]
    return of_rounds(
        f"multiply-adds per second, depthwise {layers} : pointwise",
        HALF_THE_RATE,
        effect_of(sides),
        sum_of(sides),
        primary=primary,
        note=note,
    )


studies.add(
    Study(
        name="macs_predict_time",
        question="Do multiply-adds fail to predict the time, and are depthwise layers worst?",
        headline="Multiply-adds do not predict the time",
        claim="Of two architectures, the one with less arithmetic is the slower one more often "
        "than once in ten times, and depthwise convolutions do their arithmetic at half the rate "
        "of others or less.",
        claims=(21,),
        needs=needs,
        judge=judge,
        trains=False,
    )
)
