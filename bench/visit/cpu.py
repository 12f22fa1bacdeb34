"""The steps of a visit to a machine without a GPU, in order of value.

They are small versions of those for a GPU.
"""

from __future__ import annotations

from bench.visit.step import COMPILER, Step, doctor, run, selfcheck, study, timed, training

ON = ("--device", "cpu")
SMALL = ("--image-size", "32", "--num-classes", "10", "--batch-sizes", "2")
FAMILIES = "convmixer_digits,vit_digits,mixer_digits,resnet_digits"
METRICS = (
    "params,macs,activations,latency,throughput,memory,first_call,train_step,train_throughput,"
    "train_memory,layer_time"
)
"""Every metric except the largest batch, which is found only by filling the memory."""
EAGER = "fp32,channels_last,fold_bn,bf16,bf16_autocast"


def steps(data: str | None) -> list[Step]:
    """Return all steps; `data` is CIFAR-10 as in `run --data`, or None."""
    scale = ("--data", str(data), "--scale", "small")
    families, layout = _speeds()
    return [
        doctor(2, ON),
        *_contact(),
        families,
        training(ON, limit_s=60),
        layout,
        _compiled(),
        selfcheck(ON, limit_s=90, opening_s=45),
        *([study("family_ranking", ON, *scale, limit_s=600)] if data else []),
        study("patch_speed", ON, limit_s=900, min_s=400),
    ]


def _contact() -> list[Step]:
    return [
        Step(
            name="contact_metrics",
            why="every metric once, so that broken ones are known",
            command=run(
                *("--models", "vit_digits", "--metrics", METRICS, "--rounds", "2", *SMALL, *ON)
            ),
            limit_s=60,
            min_s=15,
            grows=False,
        ),
        Step(
            name="contact_policies",
            why="every policy without a compiler",
            command=run(
                *("--models", "resnet_digits", "--metrics", "memory", "--policies", EAGER),
                *("--slice", "99", *SMALL, *ON),
            ),
            limit_s=60,
            min_s=15,
            grows=False,
        ),
    ]


def _speeds() -> list[Step]:
    """Return the timed runs: all families, in both memory formats."""
    return [
        timed(
            "families",
            "the four families at 32 pixels: speed and memory",
            *(FAMILIES, "params,macs,latency,throughput,memory", "fp32", *SMALL),
            on=ON,
            limit_s=70,
            min_s=35,
            opening_s=30,
        ),
        timed(
            "layout",
            "the same in channels-last",
            *(FAMILIES, "throughput", "channels_last", *SMALL),
            on=ON,
            limit_s=50,
            min_s=30,
            opening_s=25,
        ),
    ]


def _compiled() -> Step:
    policies = "channels_last,compile,compile_frozen"
    return timed(
        "compiled",
        "what a compiler gains for a ConvMixer",
        *("convmixer_digits", "throughput", policies, "--slice", "99", *SMALL),
        on=ON,
        limit_s=110,
        min_s=80,
        opening_s=70,
        needs=(COMPILER,),
    )
