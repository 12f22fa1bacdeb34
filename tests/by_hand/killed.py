"""Kill a training run at random moments, and compare its weights with an undisturbed run's.

    python -m tests.by_hand.killed --kills 10

Whole `python -m bench run` commands, their workers included, are killed by SIGKILL and started
again. Takes about a quarter of a minute per kill.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PATIENCE = 120.0
"""Seconds until the first step of a start, at most."""
COMMAND = ["run", "--metrics", "top1", "--data", "digits", "--device", "cpu"]


def start(results: Path, model: str, recipe: str) -> subprocess.Popen[bytes]:
    """One run in a process group of its own."""
    arguments = [
        sys.executable,
        "-m",
        "bench",
        *COMMAND,
        "--models",
        model,
        "--recipe",
        recipe,
        "--results",
        str(results),
    ]
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, start_new_session=True)


def steps(results: Path) -> int:
    """Steps in the log so far, those of all starts together."""
    return sum(
        path.read_bytes().count(b'"event": "step"') for path in results.glob("*/logs/*.jsonl")
    )


def killed(
    results: Path, model: str, recipe: str, kills: int, seed: int = 0, longest: float = 4.0
) -> list[int]:
    """Run to the end through `kills` interruptions; return the steps that each start had done."""
    draw, moments = random.Random(seed), []
    while True:
        before, run = steps(results), start(results, model, recipe)
        wait, until = draw.uniform(0.0, longest), time.monotonic() + PATIENCE
        while run.poll() is None and steps(results) == before and time.monotonic() < until:
            time.sleep(0.02)
        if len(moments) < kills:
            try:
                run.wait(wait)
            except subprocess.TimeoutExpired:
                # Workers are in sessions of their parent's: the group is the whole run.
                os.killpg(run.pid, signal.SIGKILL)
                run.wait()
                moments.append(steps(results) - before)
                continue
        if run.wait(600) != 0:
            raise RuntimeError(f"the run ended with {run.returncode}")
        return moments


def weights(results: Path) -> dict[str, bytes]:
    """The final weights, tensor by tensor, to the bit."""
    from bench.training.checkpoint import load

    [path] = results.glob("*/weights/*.safetensors")
    return {name: tensor.numpy().tobytes() for name, tensor in load(path)[0].items()}


def main() -> None:
    """Both runs, and the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--model", default="convmixer_digits")
    parser.add_argument("--recipe", default="digits")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole, broken = Path(folder, "whole"), Path(folder, "broken")
        killed(whole, arguments.model, arguments.recipe, 0)
        moments = killed(broken, arguments.model, arguments.recipe, arguments.kills, arguments.seed)
        same = weights(whole) == weights(broken)
        print(f"{len(moments)} kills, after {', '.join(map(str, moments))} steps of each start")
        print(f"weights equal to the bit: {'yes' if same else 'NO'}")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
