"""Plant errors into policies, and run every registered model under honest ones.

    python -m tests.by_hand.agreement planted [--draws 100]
    python -m tests.by_hand.agreement honest [--policies fp32,bf16] [--models a,b] [--images 16]

`planted`: every draw takes one of five errors (a dropped block, a skipped norm, permuted channels,
the last call's output, half precision called float32), one of the small models and a seed, which
decides where the error is. All of them have to end as wrong. About a second each.

`honest`: every registered model up to `--params` parameters is compared under policies that change
nothing but the rounding, and the largest error per precision is printed next to what is allowed.
None may be wrong. Minutes to hours, by the size of the models.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from bench.count import building
from bench.errors import WrongOutput
from bench.measure.messages import Job
from bench.measure.serve import builder
from bench.measure.subject import SpeedSubject, agreement, check_images, open_subject
from bench.plugins import models, policies
from bench.record.arms import SpeedArm
from tests import wrong_policies

SMALL = ("convmixer_digits", "vit_digits", "mixer_digits", "resnet_digits", "convmixer_256_8")


def agreement_of(model: str, policy: str, seed: int, batch: int, folder: Path) -> str:
    """Return the error of a model under a policy in words, or the refusal."""
    entry = models.get(model)
    arm = SpeedArm(
        model=model,
        policy=policy,
        device="cpu",
        batch_size=batch,
        image_size=entry.image_size,
        num_classes=entry.num_classes,
        mode="inference",
    )
    path = folder / f"{model}-{seed}.logits"
    job = Job(arm, "cpu", seed, os.cpu_count() or 1, reference=str(path), thorough=True)
    subject = open_subject(
        arm, device="cpu", seed=seed, build=builder(job), progress=lambda text: None, job=job
    )
    assert isinstance(subject, SpeedSubject)
    if not path.exists():
        subject.make_reference()
    try:
        says = subject.ready()
    except WrongOutput as error:
        return f"wrong: {error}"
    except NotImplementedError as error:
        return f"unsupported: {error}"
    return str(says.get("agreement_error", says["agreement"]))


def planted(draws: int) -> int:
    """Print every planted error that was not found; return how many."""
    draw, missed = random.Random(0), 0
    counts: Counter[str] = Counter()
    for number in range(draws):
        policy = wrong_policies.NAMES[number % len(wrong_policies.NAMES)]
        model, seed, batch = draw.choice(SMALL), draw.randrange(10**6), draw.choice((1, 3, 8))
        policies.get(policy)  # imports the package
        sys.modules["wrong_policies"].draw.seed(seed)
        with tempfile.TemporaryDirectory() as folder:
            found = agreement_of(model, policy, seed, batch, Path(folder))
        counts[policy] += found.startswith("wrong")
        if not found.startswith("wrong"):
            missed += 1
            print(f"MISSED {policy} in {model}, seed {seed}, batch {batch}: {found}")
    print(f"{draws - missed} of {draws} found: {dict(counts)}")
    return missed


def honest(names: list[str], chosen: list[str], images: int, params: float) -> int:
    """Print the error of every model and policy; return how many were called wrong."""
    check_images.IMAGES = images
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in names or models.names():
            entry = models.get(name)
            shape = {"image_size": entry.image_size, "num_classes": entry.num_classes}
            size = sum(each.numel() for each in building.build(entry, **shape).parameters())
            if size > params:
                print(f"{name}: left out, {size:,} parameters", flush=True)
                continue
            found = {each: agreement_of(name, each, 0, 4, Path(folder)) for each in chosen}
            wrong += sum(text.startswith("wrong") for text in found.values())
            print(name, found, flush=True)
    print(
        f"{wrong} called wrong; allowed: { {each: agreement.tolerance(each) for each in chosen} }"
    )
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("planted", "honest"))
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--policies", default="fp32,channels_last,bf16")
    parser.add_argument("--models", default="")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--params", type=float, default=130e6)
    options = parser.parse_args()
    if options.part == "honest":
        names = [name for name in options.models.split(",") if name]
        return honest(names, options.policies.split(","), options.images, options.params)
    with tempfile.TemporaryDirectory() as site:
        sys.path.insert(0, str(wrong_policies.install(Path(site))))
        return planted(options.draws)


if __name__ == "__main__":
    sys.exit(min(1, main()))
