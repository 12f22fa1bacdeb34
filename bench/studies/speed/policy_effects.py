"""Does one switch of memory layout, precision or compiler treat all families alike?

Each switch's effect on a family is divided by its effect on the transformer, in the same rounds;
alike is within a tenth. CPUs leave out precision: without hardware support, bfloat16 is tens of
times slower for every model.
"""

from collections.abc import Iterator

from bench.claims.evidence import Evidence, Speed
from bench.claims.rules import Finding
from bench.devices import kind_of
from bench.plugins import Need, Study, studies
from bench.studies._timed import combined, ratio, timed

MODELS = ("convmixer_1536_20", "convmixer_768_32", "mixer_b16", "resnet50")
AGAINST = "vit_s16"
SWITCHES = {
    "cpu": {"channels_last": "channels_last", "compiling": "compile"},
    "cuda": {
        "channels_last": "bf16+channels_last",
        "compiling": "bf16+compile",
        "bfloat16": "fp32",
    },
    "mps": {"channels_last": "channels_last", "float16": "fp16"},
}
"""The policy that each switch changes the plain one to, by kind of device."""
ALIKE = (1 / 1.1, 1.1)


def needs(scale: None, device: str) -> list[Need]:
    what, models = "throughput under each policy", (*MODELS, AGAINST)
    policies = (kind_of(device).policy, *SWITCHES[device].values())
    return [timed(what, models, device, policies=policies, time_budget=480.0, worth=5.0)]


def judge(evidence: Evidence, scale: None) -> Iterator[Finding]:
    for name, policy in SWITCHES[evidence.kind].items():
        # bfloat16 is the plain policy of GPUs, and float32 is without it.
        reverse = policy == "fp32"
        for model in (*MODELS, AGAINST):
            on, off = _on_and_off(model, policy, reverse)
            yield ratio(evidence, f"{model}: {name} on : off", on, off, ALIKE, primary=False)
        other_on, other_off = _on_and_off(AGAINST, policy, reverse)
        for model in MODELS:
            on, off = _on_and_off(model, policy, reverse)
            parts = {on: 1.0, off: -1.0, other_on: -1.0, other_off: 1.0}
            yield combined(evidence, f"{name}: its effect on {model} : on {AGAINST}", parts, ALIKE)


def _on_and_off(model: str, policy: str, reverse: bool) -> tuple[Speed, Speed]:
    """Return a model with and without a switch: under `policy` and the plain one, or reversed."""
    changed, plain = Speed(model, policy=policy), Speed(model)
    return (plain, changed) if reverse else (changed, plain)


studies.add(
    Study(
        name="policy_effects",
        question="Does one switch of layout, precision or compiler treat all families alike?",
        headline="One switch treats all families alike",
        claim="One switch of memory layout, number format or compiler changes the speed of "
        "all families by the same factor, within a tenth.",
        needs=needs,
        judge=judge,
        trains=False,
    )
)
