"""Measure what a run costs for docs/scaling.md.

Costs are shown against the number of arms, the batch, the image size and the number of programs.

python -m tests.by_hand.scaling            # about ten minutes on two cores; prints Markdown tables
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.forecast import past_runs
from bench.record.arms import SpeedArm
from bench.record.reading import read_below
from bench.record.values import per_round


def bench(*arguments: str, results: Path) -> list[str]:
    """One command."""
    return [
        sys.executable,
        "-m",
        "bench",
        "run",
        "--device",
        "cpu",
        "--results",
        str(results),
        *arguments,
    ]


def timed(command: list[str]) -> float:
    """Seconds of a whole command, which has to end well."""
    start = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.monotonic() - start


def arms(folder: Path) -> None:
    """Eight rounds over more and more timed arms of one small model, all alive at once."""
    print(
        "| timed arms | command s | set-up s an arm | rounds s | of it windows "
        "| s an arm and round |\n|---|---|---|---|---|---|"
    )
    for number in (1, 2, 4, 8, 16, 32):
        results = folder / f"arms{number}"
        sizes = ",".join(str(size) for size in range(1, number + 1))
        took = timed(
            bench(
                "--models",
                "vit_digits",
                "--metrics",
                "throughput",
                "--batch-sizes",
                sizes,
                "--rounds",
                "8",
                results=results,
            )
        )
        [cost] = past_runs.read(next(results.glob("*/records")).parent)
        each = cost.rounds / 8 / number
        share = cost.windows / cost.rounds
        print(
            f"| {number} | {took:.0f} | {cost.setting_up / number:.2f} | {cost.rounds:.1f} "
            f"| {share:.0%} | {each:.2f} |",
            flush=True,
        )


def speeds(folder: Path, flag: str, values: str) -> None:
    """One model over batches or image sizes, in one interleaved run."""
    results = folder / flag.strip("-")
    timed(
        bench(
            "--models",
            "vit_s16,convmixer_768_32",
            "--metrics",
            "throughput",
            "--rounds",
            "8",
            flag,
            values,
            results=results,
        )
    )
    print("\n| model | px | batch | ms an image |\n|---|---|---|---|")
    for record in read_below(results)[0]:
        arm = record.arm
        if (
            isinstance(arm, SpeedArm)
            and (found := list(per_round(record, "throughput").values()))
            and arm.model != "deit_s16"
        ):
            print(
                f"| {arm.model} | {arm.image_size} | {arm.batch_size} "
                f"| {1e3 / statistics.median(found):.0f} |",
                flush=True,
            )


def programs(folder: Path) -> None:
    """The same eight trainings by one program, by shards side by side, and by Ray."""
    recipe = ["--data", "digits", "--recipe", "digits:epochs=10", "--seeds", "4"]
    what = ["--models", "convmixer_digits,mixer_digits", "--metrics", "top1", *recipe]
    print("\n| eight trainings, two baselines | s |\n|---|---|")
    print(f"| one program | {timed(bench(*what, results=folder / 'one')):.0f} |", flush=True)
    start = time.monotonic()
    shards = [
        subprocess.Popen(
            bench(*what, "--shard", f"{part}/2", results=folder / "shards"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for part in (1, 2)
    ]
    assert [shard.wait() for shard in shards] == [0, 0]
    print(f"| 2 shards at the same time | {time.monotonic() - start:.0f} |", flush=True)
    print(
        f"| Ray, local | {timed(bench(*what, '--launcher', 'ray', results=folder / 'ray')):.0f} |",
        flush=True,
    )


def main() -> None:
    """All tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arms(folder)
        speeds(folder, "--batch-sizes", "1,2,4,8")
        speeds(folder, "--image-size", "112,224,448")
        programs(folder)


if __name__ == "__main__":
    main()
