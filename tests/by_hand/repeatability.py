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
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.analysis.grade import UNSTEADY
from bench.analysis.machines import read_all
from bench.analysis.run_quality import canary_drift, sentinel
from bench.check.selfcheck import programs
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


@dataclass(frozen=True)
class Run:
    """The ratio of the two models' throughputs, the run's own checks, and the command's seconds."""

    ratio: Estimate
    pair: Estimate | None
    drift: float | None
    seconds: float


def one_run(models: list[str], budget: float) -> Run:
    """Measure both models in a results folder of their own."""
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
        [machine] = read_all(Path(folder))
    rows = {row.model: row for row in machine.everything.rows}
    [metric] = [quantity for quantity in rows[models[0]].fair if quantity.metric == "throughput"]
    ratio = paired_ratio(rows[models[0]].fair[metric], rows[models[1]].fair[metric])
    assert ratio is not None
    return Run(ratio, sentinel(machine.everything), canary_drift(machine.everything), took)


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


def checked(runs: list[Run]) -> None:
    """Print how many A/A intervals hold 1, and how many ratios' that of all, by the drift check."""
    everything = statistics.geometric_mean(run.ratio.value for run in runs)
    for drifted in (False, True):
        of = [run for run in runs if ((run.drift or 0) > UNSTEADY) == drifted]
        pairs = [holds(run.pair, 1.0) for run in of]
        ratios = [holds(run.ratio, everything) for run in of]
        kind = "above" if drifted else "at most"
        print(
            f"drift check {kind} {UNSTEADY:.0%}: {len(of)} runs; A/A holds 1 in {sum(pairs)}, "
            f"the ratio holds that of all runs, {everything:.3f}, in {sum(ratios)}"
        )


def holds(found: Estimate | None, truth: float) -> bool:
    """True if an interval contains a value."""
    if found is None or found.low is None or found.high is None:
        return False
    return found.low <= truth <= found.high


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
    runs: list[Run] = []
    for kind in order(arguments.quiet, arguments.runs):
        with programs(2 if kind == "loaded" else 0):
            run = one_run(models, arguments.budget)
            runs.append(run)
            found[kind].append(run.ratio)
            usual[kind].append(common_way())
        checks = f"A/A {interval(run.pair, places=3)}, drift check {run.drift or 0:.0%}"
        times = f"in {run.seconds:.0f} s, n {run.ratio.n}; usual way {usual[kind][-1]:.3f}"
        ratio = interval(run.ratio, places=3)
        print(f"{kind} {len(found[kind])}: {ratio}; {checks}; {times}", flush=True)
    for kind in found:
        values = [ratio.value for ratio in found[kind]]
        print(
            f"{kind}: max/min {max(values) / min(values):.3f}; "
            f"usual way {max(usual[kind]) / min(usual[kind]):.3f}"
        )
    checked(runs)
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
