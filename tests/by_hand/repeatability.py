"""Compare how far the ratio of two models moves from run to run, by this bench and the usual way.

    python -m tests.by_hand.repeatability --runs 6 --quiet 3 --budget 41

Runs are on a quiet machine and beside random load. Each run is a whole `python -m bench run` in a
process and a results folder of its own. Right after it, under the same load, the field's common
script measures the same two models: one after the other, warm-up, mean of 40 calls (fewer here, to
the same seconds). Prints every ratio, the largest over the smallest, and whether all intervals
overlap the quiet machine's. Quiet runs lie among the loaded ones: a machine with neighbours changes
within half an hour, which would otherwise pass for an effect of the load. About two minutes per
pair of runs; needs the machine for itself.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.check.selfcheck import programs
from bench.record.arms import SpeedArm
from bench.record.store import load_folder
from bench.record.values import fair_per_round
from bench.stats.formatting import interval
from bench.stats.intervals import Estimate
from bench.stats.paired import paired_ratio

COMMON = """
import sys, time, statistics, timm, torch
speeds = []
for name in ("vit_small_patch16_224", "resnet50"):
    model, images = timm.create_model(name).eval(), torch.randn(4, 3, 224, 224)
    with torch.inference_mode():
        for _ in range(3):
            model(images)
        start, calls = time.perf_counter(), 0
        while time.perf_counter() - start < 8:
            model(images)
            calls += 1
        speeds.append(calls / (time.perf_counter() - start))
print(speeds[0] / speeds[1])
"""


def one_run(models: list[str], budget: float) -> tuple[Estimate, float]:
    """Return the ratio of the two models' throughputs, and the command's seconds."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [
            "run",
            "--models",
            ",".join(models),
            "--metrics",
            "throughput",
            "--batch-sizes",
            "4",
            "--device",
            "cpu",
        ]
        start = time.monotonic()
        command = [
            sys.executable,
            "-m",
            "bench",
            *arguments,
            "--time-budget",
            str(budget),
            "--results",
            folder,
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        took = time.monotonic() - start
        [records] = [load_folder(path)[0] for path in Path(folder).glob("*/records")]
        found = {
            one.arm.model: fair_per_round(one, "throughput")
            for one in records
            if isinstance(one.arm, SpeedArm)
        }
    ratio = paired_ratio(found[models[0]], found[models[1]])
    assert ratio is not None
    return ratio, took


def common_way() -> float:
    """The same ratio, one model after the other."""
    return float(
        subprocess.run(
            [sys.executable, "-c", COMMON], check=True, capture_output=True, text=True
        ).stdout
    )


def order(quiet: int, loaded: int) -> list[str]:
    """Each kind as often as asked, the quiet runs at even distances."""
    places = [(number / max(1, quiet - 1), "quiet") for number in range(quiet)]
    places += [((number + 0.5) / loaded, "loaded") for number in range(loaded)]
    return [kind for _, kind in sorted(places)]


def main() -> None:
    """Quiet runs spread evenly among runs beside load."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--quiet", type=int, default=3)
    parser.add_argument("--budget", type=float, default=41.0)
    parser.add_argument("--models", default="vit_s16,resnet50")
    arguments = parser.parse_args()
    models = arguments.models.split(",")
    found: dict[str, list[Estimate]] = {"quiet": [], "loaded": []}
    usual: dict[str, list[float]] = {"quiet": [], "loaded": []}
    for kind in order(arguments.quiet, arguments.runs):
        with programs(2 if kind == "loaded" else 0):
            ratio, took = one_run(models, arguments.budget)
            found[kind].append(ratio)
            usual[kind].append(common_way())
        times = f"in {took:.0f} s, n {ratio.n}; usual way {usual[kind][-1]:.3f}"
        print(f"{kind} {len(found[kind])}: {interval(ratio, places=3)} {times}", flush=True)
    for kind in found:
        values = [ratio.value for ratio in found[kind]]
        print(
            f"{kind}: max/min {max(values) / min(values):.3f}; "
            f"usual way {max(usual[kind]) / min(usual[kind]):.3f}"
        )
    overlap = all(
        one.low is not None
        and one.high is not None
        and quiet.low is not None
        and quiet.high is not None
        and one.low <= quiet.high
        and quiet.low <= one.high
        for one in found["loaded"]
        for quiet in found["quiet"]
    )
    print(f"every loaded interval overlaps every quiet one: {'yes' if overlap else 'NO'}")


if __name__ == "__main__":
    main()
