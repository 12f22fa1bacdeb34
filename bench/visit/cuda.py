"""The steps of a visit to a machine with an NVIDIA GPU, in order of value.

The limits come from runs on an NVIDIA H200 and an H100 with 16 cores. A command takes 8 s until its
first arm. An arm opens in 2 to 4 s, a compiled one in 22 s, and one on the bench's own kernels in
12 to 19 s, since their block sizes are tuned. Every timed run also opens an A/A pair and a probe.
Arms that are timed together are all opened before the first round, so that a step has few of them.
"""

from __future__ import annotations

from bench.visit.step import Step, doctor, run, selfcheck, study, timed, training

On = tuple[str, ...]
FAMILIES = "convmixer_768_32,vit_s16,mixer_s16,resnet50"
METRICS = (
    "params,macs,activations,latency,graph_latency,throughput,memory,energy,largest_batch,"
    "train_step,train_throughput,train_memory,layer_time"
)
EAGER = "bf16,fp32,tf32,fp16,bf16_autocast,fp16_autocast,bf16+channels_last,bf16+fold_bn,bf16+graph"
COMPILED = "bf16+compile,bf16+fused,bf16+compile_frozen,bf16+compile_max"
BATCH = ("--batch-sizes", "64")
UNCHOSEN = ("--slice", "99")
"""With slices, no best policy is chosen and measured again in new processes, which would tune their
kernels again; every policy keeps its rows."""
BESIDE_FUSED: dict[str, tuple[str, float]] = {
    "convmixer_1536_20": ("bf16", 60),
    "convmixer_768_32": ("bf16+channels_last,bf16+channels_last+compile", 85),
}
"""The policies beside `fused`, and the seconds until the first round.

Of the policies that `best` tries, all of which would take minutes, these are in the memory format
in which cuDNN's depthwise convolution was faster on an H200: by 2.0 at 9 x 9, by 5.1 at 7 x 7. The
compiler arranges maps in the other format, and made 1536/20 slower: 237 images a second, not 399.
"""
START_S, ARM_S = 8, 4
"""Seconds that a command takes until its first arm, and an arm that is not compiled to open."""
ALWAYS = 3
"""Arms that every timed run opens: an A/A pair and a probe."""
SPEED_STUDIES = ("kernel_speed", "patch_speed", "policy_effects", "resolution_cost")
"""The studies that train nothing, apart from `inference_cost`, which comes earlier."""


def steps(device: str, data: str | None) -> list[Step]:
    """Return all steps on a device such as cuda:0; `data` is CIFAR-10 as in `run --data`, or None.

    Steps that take longest to open come late. CIFAR-10 comes early, because a user who brings
    images asks for it.
    """
    on = ("--device", device)
    ranking = ("--data", str(data), "--scale", "authors")
    metrics, eager, compiled = _contact(on)
    plain, layout, graph, energy = _families(on)
    return [
        *(doctor(5, on), metrics, eager, plain, _fused("convmixer_1536_20", on)),
        *([_cifar(data, on)] if data else []),
        *(training(on, limit_s=25), layout, graph, compiled, energy),
        *(_fused("convmixer_768_32", on), _compiled(on)),
        study("inference_cost", on),
        selfcheck(on, limit_s=130, opening_s=70),
        *([study("family_ranking", on, *ranking, limit_s=600)] if data else []),
        *(study(name, on) for name in SPEED_STUDIES),
    ]


def _contact(on: On) -> list[Step]:
    """Return steps that try every metric and every policy, on small models and a large one."""
    small = ("--image-size", "32", "--num-classes", "10", "--batch-sizes", "8")
    return [
        Step(
            name="contact_metrics",
            why="every metric once, so that broken ones are known",
            command=run(
                *("--models", "vit_digits", "--metrics", METRICS, "--policies", "bf16"),
                *("--rounds", "2", "--worker-memory", "8", *small, *on),
            ),
            limit_s=75,
            min_s=20,
            grows=False,
        ),
        Step(
            name="contact_eager",
            why="every policy without a compiler, on a small and a large model",
            command=run(
                *("--models", "resnet_digits,convmixer_1024_20", "--metrics", "memory"),
                *("--policies", EAGER, "--batch-sizes", "8", *UNCHOSEN, *on),
            ),
            limit_s=60,
            min_s=30,
            grows=False,
        ),
        Step(
            name="contact_compiled",
            why="every policy with a compiler, and the bench's own kernels",
            command=run(
                *("--models", "convmixer_digits", "--metrics", "memory,first_call"),
                *("--policies", COMPILED, *UNCHOSEN, *small, *on),
            ),
            limit_s=75,
            min_s=30,
            needs=("triton",),
            grows=False,
        ),
    ]


def _families(on: On) -> list[Step]:
    what = "the four families at 224 pixels: speed and memory"
    counts = "params,macs,activations"
    launching = "the same as CUDA graphs: what kernel launches cost"
    return [
        _family("families", what, f"{counts},latency,throughput,memory", "bf16", 90, on),
        _family("layout", "the same in channels-last", "throughput", "bf16+channels_last", 30, on),
        _family("graph", launching, "latency,throughput", "bf16+graph", 45, on),
        Step(
            name="energy",
            why="joules per image of the four families",
            command=run(
                *("--models", FAMILIES, "--metrics", "energy", "--policies", "bf16"),
                *(*BATCH, "--rounds", "3", *on),
            ),
            limit_s=70,
            min_s=55,
            needs=("pynvml",),
        ),
    ]


def _family(name: str, why: str, metrics: str, policy: str, rounds_s: float, on: On) -> Step:
    """Return one timed run of the four families, at batch 64 and for latency at batch 1."""
    batches = 2 if "latency" in metrics else 1
    opening_s = START_S + ARM_S * (batches * len(FAMILIES.split(",")) + ALWAYS)
    return timed(
        name,
        why,
        *(FAMILIES, metrics, policy, *BATCH),
        on=on,
        limit_s=opening_s + rounds_s,
        min_s=opening_s + round(rounds_s / 2),
        opening_s=opening_s,
    )


def _compiled(on: On) -> Step:
    return timed(
        "compiled",
        "what a compiler gains for two of the families",
        *("convmixer_768_32,vit_s16", "throughput", "bf16+channels_last+compile", *BATCH),
        on=on,
        limit_s=110,
        min_s=90,
        opening_s=75,
        needs=("triton",),
    )


def _fused(model: str, on: On) -> Step:
    """Return a step that times the bench's own kernels next to other policies, and the best of
    these once more in rounds that did not choose it."""
    policies, opening_s = BESIDE_FUSED[model]
    return timed(
        f"fused_{model.removeprefix('convmixer_')}",
        f"{model} on the bench's own kernels against other policies",
        *(model, "params,macs,activations,throughput", f"{policies},bf16+fused", *BATCH),
        on=on,
        limit_s=opening_s + 90,
        min_s=opening_s + 30,
        opening_s=opening_s,
        needs=("triton",),
    )


def _cifar(data: str, on: On) -> Step:
    return Step(
        name="cifar",
        why="ConvMixer-256/8 on CIFAR-10 under its authors' recipe, 25 epochs",
        command=run(
            *("--models", "convmixer_256_8", "--metrics", "top1", "--image-size", "32"),
            *("--data", data, "--recipe", "convmixer_cifar", "--yes", *on),
        ),
        limit_s=240,
        min_s=90,
    )
