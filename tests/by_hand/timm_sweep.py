"""Count, describe, run, run in bf16 and train one small model of each of timm's modules.

    python -m tests.by_hand.timm_sweep FOLDER [--models N] [--limit SECONDS]

Takes a small model of every module (98 with timm 1.0.31): of those whose names sound small the one
with the fewest parameters. All are counted by one `bench run`, timed in groups of six by two more
each, and described by `bench describe`. Printed at the end: how many did each of the five, and
every refusal with its reason, as the records have it. A traceback anywhere is counted and shown.
Goes on from where it was stopped; about half an hour on two quiet cores.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import timm
import torch
from timm.models import model_entrypoint

from bench.record.arms import CountArm, SpeedArm
from bench.record.store import load_folder
from tests.program import Ended, bench

GROUP = 6
"""Models per start: each has two processes at a time, of about 0.25 GB."""
SMALL = (
    "test_",
    "atto",
    "femto",
    "pico",
    "nano",
    "tiny",
    "xxs",
    "xxsmall",
    "_xs",
    "small",
    "_s",
    "_t",
    "050",
    "lite",
    "b0",
    "18",
    "_micro",
)
"""How names of small models sound."""
CANDIDATES = 6
MOST = 60_000_000
"""Parameters beyond which a module is left out, by name."""
WANTED = ("counted", "described", "batch 2", "bf16", "trained a step")


def smallest() -> Iterator[tuple[str, str, int]]:
    """Yield, for every module, its name, its smallest model and how many models sound small.

    The smallest is the one with the fewest parameters among those that sound small.
    """
    by_module = defaultdict(list)
    for name in timm.list_models():
        by_module[model_entrypoint(name).__module__.rpartition(".")[2]].append(name)
    for module, names in sorted(by_module.items()):
        likely = sorted(
            names,
            key=lambda name: min(
                (at for at, word in enumerate(SMALL) if word in name), default=len(SMALL)
            ),
        )
        sizes = {name: parameters(name) for name in likely[:CANDIDATES]}
        best = min(sizes, key=lambda name: sizes[name])
        yield module, best, sizes[best]


def parameters(name: str) -> int:
    """Return a model's number of parameters.

    Models that cannot be built without memory are taken to be small, and tried.
    """
    try:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in timm.create_model(name).parameters())
    except Exception:
        return MOST


def size_of(name: str) -> int:
    """The side of its images, at most 224 where the model takes any."""
    configuration = timm.get_pretrained_cfg(name)
    if configuration is None:
        return 224
    side = int(configuration.input_size[-1])
    return side if configuration.fixed_input_size else min(side, 224)


def run(group: list[str], *more: str, folder: Path, limit: float) -> Ended:
    """Measure a few models; their records say what became of them."""
    models = ",".join(f"timm:{name}" for name in group)
    return bench(
        "run",
        "--models",
        models,
        "--device",
        "cpu",
        "--rounds",
        "1",
        "--batch-sizes",
        "2",
        *more,
        cwd=folder,
        limit=limit,
    )


def measure(names: list[str], size: int, folder: Path, limit: float) -> Iterator[tuple[str, Ended]]:
    """Counts and speeds of the models of one image size, with what was asked of whom."""
    side = ("--image-size", str(size))
    yield (
        f"counts {size}",
        run(names, "--metrics", "params,macs", *side, folder=folder, limit=limit * len(names)),
    )
    for at in range(0, len(names), GROUP):
        group = names[at : at + GROUP]
        for more in (("throughput,train_step", "fp32"), ("throughput", "bf16")):
            print(f"{size} px: {', '.join(group)}: {', '.join(more)}", file=sys.stderr)
            yield (
                ",".join(group),
                run(
                    group,
                    "--metrics",
                    more[0],
                    "--policies",
                    more[1],
                    *side,
                    folder=folder,
                    limit=limit,
                ),
            )


def verdicts(
    folder: Path, done: dict[str, Counter[str]], refused: dict[tuple[str, str], str]
) -> None:
    """What the records say."""
    for place in folder.glob("results/*/records"):
        records, damaged = load_folder(place)
        assert not damaged, damaged
        for record in records:
            name = record.arm.model.removeprefix("timm:")
            if name not in done or not record.ends:
                continue
            what = "counted"
            if isinstance(record.arm, SpeedArm):
                inference = "bf16" if record.arm.policy == "bf16" else "batch 2"
                what = "trained a step" if record.arm.mode == "training" else inference
            elif not isinstance(record.arm, CountArm):
                continue
            if record.ends[-1].status == "ok":
                done[name][what] += 1
            else:
                refused[name, what] = f"{record.ends[-1].status}: {record.ends[-1].error}"


def main() -> int:
    """Sweep and print."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--models", type=int, default=1000)
    arguments.add_argument("--limit", type=float, default=1200.0)
    chosen = arguments.parse_args()
    folder = chosen.folder
    folder.mkdir(parents=True, exist_ok=True)
    every = list(smallest())[: chosen.models]
    refused: dict[tuple[str, str], str] = {
        (name, "all"): f"{module}: its smallest has {params:,} parameters"
        for module, name, params in every
        if params > MOST
    }
    names = [name for _, name, params in every if params <= MOST]
    done: dict[str, Counter[str]] = {name: Counter() for name in names}
    by_size = defaultdict(list)
    for name in names:
        by_size[size_of(name)].append(name)
    tracebacks = []
    for size, some in sorted(by_size.items()):
        for what, ended in measure(some, size, folder, chosen.limit):
            if "Traceback" in ended.text:
                tracebacks.append(ended.text[-1500:])
            elif ended.code == 2:
                refused[what, "run"] = ended.err.strip()
        for name in some:
            ended = bench(
                "describe",
                f"timm:{name}",
                "--image-size",
                str(size),
                cwd=folder,
                limit=chosen.limit,
            )
            done[name]["described"] += ended.code == 0
            if "Traceback" in ended.text:
                tracebacks.append(f"describe {name}: {ended.text[-800:]}")
            elif ended.code:
                refused[name, "described"] = ended.err.strip()
    verdicts(folder, done, refused)
    for what in WANTED:
        print(f"{what:16} {sum(done[name][what] > 0 for name in names)} of {len(names)}")
    for (name, what), reason in sorted(refused.items()):
        print(f"{name} · {what} · {reason}")
    print(f"{len(tracebacks)} tracebacks", *tracebacks, sep="\n")
    return 1 if tracebacks else 0


if __name__ == "__main__":
    sys.exit(main())
