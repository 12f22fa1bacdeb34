"""Does one switch of memory layout, precision or compiler treat all families alike?

For each switch, its effect on a family over its effect on the transformer, in the same rounds; alike is within a tenth.
On CPUs precision is left out: where there are no units for it, bfloat16 is tens of times slower, for everybody.
"""

from collections.abc import Iterator

from bench.claims.evidence import PLAIN, Evidence, Speed
from bench.claims.rules import Finding
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
ALIKE = (1 / 1.1, 1.1)


def needs(scale: None, device: str) -> list[Need]:
    policies = (PLAIN[device], *SWITCHES[device].values())
    return [
        timed(
            "throughput under each policy",
            (*MODELS, AGAINST),
            device,
            policies=policies,
            time_budget=240.0,
            worth=5.0,
        )
    ]


def judge(evidence: Evidence, scale: None) -> Iterator[Finding]:
    for name, policy in SWITCHES[evidence.kind].items():
        # What is switched is the plain policy's alternative: bfloat16 is plain on a GPU, and float32 its absence.
        sign = -1.0 if policy == "fp32" else 1.0
        for model in (*MODELS, AGAINST):
            on, off = Speed(model, policy=policy), Speed(model)
            left, right = (on, off) if sign > 0 else (off, on)
            yield ratio(evidence, f"{model}: {name} on : off", left, right, ALIKE, primary=False)
        for model in MODELS:
            on, off, other_on, other_off = (
                Speed(one, policy=way) for one in (model, AGAINST) for way in (policy, None)
            )
            parts = {on: sign, off: -sign, other_on: -sign, other_off: sign}
            yield combined(evidence, f"{name}: its effect on {model} : on {AGAINST}", parts, ALIKE)


studies.add(
    Study(
        name="policy_effects",
        question="Does one switch of layout, precision or compiler treat all families alike?",
        needs=needs,
        judge=judge,
        trains=False,
    )
)
