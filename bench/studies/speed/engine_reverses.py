"""Do the four families keep their order of speed under every compiler and engine?

For each pair that PyTorch without a compiler tells apart, the ratio of speeds under an engine must
lie on the same side of 1. A pair that is tied there has no order to keep.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from itertools import combinations
from math import inf

from bench.claims.evidence import Evidence, Speed
from bench.claims.rules import Finding
from bench.devices import kind_of
from bench.plugins import Need, Study, studies
from bench.stats.intervals import ALPHA
from bench.studies._timed import ratio, timed

MODELS = ("convmixer_768_32", "convmixer_1536_20", "vit_s16", "mixer_b16", "resnet50")
ENGINES = {
    "cpu": ("compile_frozen", "ort", "openvino"),
    "cuda": ("bf16+compile", "bf16+tensorrt"),
    "mps": ("compile",),
}
"""The policies that are held against the plain one, by kind of device."""
SAME_SIDE = (1.0, inf)
MODULES = {
    "ort": ("onnxscript", "onnxruntime"),
    "openvino": ("onnxscript", "openvino"),
    "tensorrt": ("onnxscript", "tensorrt"),
}
"""What a policy imports. The policies themselves would tell, but importing them imports torch."""


def needs(scale: None, device: str) -> list[Need]:
    installed = filter(_is_installed, ENGINES[device])
    policies = (kind_of(device).policy, *installed)
    what = "throughput in PyTorch and under each engine"
    return [timed(what, MODELS, device, policies=policies, time_budget=700.0, worth=3.0)]


def judge(evidence: Evidence, scale: None) -> Iterator[Finding]:
    for pair in combinations(MODELS, 2):
        ordered = _faster_first(evidence, *pair)
        names = " and ".join(pair)
        left, right = ordered or pair
        plain = f"{names}: the faster over the slower in PyTorch"
        yield ratio(evidence, plain, Speed(left), Speed(right), SAME_SIDE, primary=False)
        for policy in ENGINES[evidence.kind]:
            what = f"{names}: the one that is faster in PyTorch over the other, under {policy}"
            speeds = Speed(left, policy=policy), Speed(right, policy=policy)
            if ordered is None:
                yield _without_order(evidence, what, *speeds)
            else:
                yield ratio(evidence, what, *speeds, SAME_SIDE, note=f"{left} : {right}")


def _faster_first(evidence: Evidence, left: str, right: str) -> tuple[str, str] | None:
    """Return a pair, the faster one in PyTorch first; None if the two are tied there."""
    plain = evidence.effect(Speed(left), Speed(right), "throughput")
    if plain is None or plain.p(0.0) >= ALPHA:
        return None
    return (left, right) if plain.value > 0 else (right, left)


def _without_order(evidence: Evidence, what: str, left: Speed, right: Speed) -> Finding:
    """Return the finding about a pair that has no order in PyTorch which could be kept."""
    found = evidence.ratio(left, right, "throughput")
    return Finding(
        what=what,
        unit="×",
        region=SAME_SIDE,
        effect=None,
        value=found.value if found else None,
        note=f"{left.model} : {right.model}; tied in PyTorch, or not measured with an interval",
    )


def _is_installed(policy: str) -> bool:
    modules = [module for name in policy.split("+") for module in MODULES.get(name, ())]
    return all(find_spec(module) is not None for module in modules)


studies.add(
    Study(
        name="engine_reverses",
        question="Does an inference engine change the order of the families?",
        headline="Families keep their order under every engine",
        claim="Of ConvMixer, vision transformer, MLP-Mixer and ResNet, the one that is faster in "
        "PyTorch is faster under every compiler and inference engine.",
        needs=needs,
        judge=judge,
        trains=False,
    )
)
