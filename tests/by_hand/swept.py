"""Kill a small sweep at random moments; nothing may be lost, damaged or measured twice.

    python -m tests.by_hand.swept --kills 50

One command counts, times and trains, is killed by SIGKILL and started again. Every second kill hits
the whole process group, as when a machine goes down; the others hit the command alone, whose
workers have to end by themselves. After every kill all records are read again. No line of a record
may be missing afterwards, and no finished arm may be started again.
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

from bench.record.arms import AccuracyArm
from bench.record.store import load_folder

ARGUMENTS = [
    *(
        "run",
        "--models",
        "convmixer_digits,vit_digits",
        "--device",
        "cpu",
        "--metrics",
        "params,macs,throughput,top1",
    ),
    *("--data", "digits", "--recipe", "digits:epochs=3", "--seeds", "2", "--rounds", "8"),
]
LONGEST = 40.0
"""Seconds to the kill, at most, when nothing is finished yet; a start alone takes about ten."""


def start(results: Path) -> subprocess.Popen[bytes]:
    """The sweep, in a process group of its own."""
    command = [sys.executable, "-m", "bench", *ARGUMENTS, "--results", str(results)]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def lines_of(results: Path) -> dict[str, list[bytes]]:
    """Return the complete lines of every record, without those torn by a kill and their marks."""
    found = {}
    for path in results.glob("*/records/*.jsonl"):
        *whole, _ = path.read_bytes().split(b"\n")
        found[path.name] = [line for line in whole if not line.endswith(b"\x18")]
    return found


def finished(results: Path) -> dict[str, int]:
    """Accuracy arms and counts that have ended well, by record, with how many runs began them."""
    found = {}
    for folder in results.glob("*/records"):
        records, damaged = load_folder(folder)
        if damaged:
            raise SystemExit(f"damaged: {damaged[0]}")
        for record in records:
            if (
                record.ends
                and record.ends[-1].status == "ok"
                and (isinstance(record.arm, AccuracyArm) or "params" in record.ends[-1].metrics)
            ):
                found[record.path.name] = len(record.runs)
    return found


def survivors(pid: int) -> list[int]:
    """Return the processes left in a killed command's session, zombies not counted."""
    found = subprocess.run(
        ["ps", "-o", "pid=,stat=", "--sid", str(pid)], capture_output=True, text=True
    ).stdout.splitlines()
    return [int(line.split()[0]) for line in found if not line.split()[1].startswith("Z")]


def left_after(pid: int, seconds: float) -> int:
    """How many of a killed command's processes outlive it by so many seconds."""
    until = time.monotonic() + seconds
    while (left := survivors(pid)) and time.monotonic() < until:
        time.sleep(0.1)
    return len(left)


def main() -> None:
    """All kills, then one run to the end."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=LONGEST)
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        results, kills, sweeps, orphans = Path(folder, "0"), 0, 0, 0
        while kills < arguments.kills:
            lines, done = lines_of(results), finished(results)
            run = start(results)
            try:
                run.wait(draw.uniform(0.0, arguments.longest))
            except subprocess.TimeoutExpired:
                kills += 1
                if kills % 2:
                    os.killpg(run.pid, signal.SIGKILL)
                else:
                    run.kill()
                run.wait()
                orphans += left_after(run.pid, 5.0)
            after, still = lines_of(results), finished(results)
            lost = [name for name, had in lines.items() if after.get(name, [])[: len(had)] != had]
            again = [name for name, runs in done.items() if still.get(name) != runs]
            if lost or again or orphans:
                raise SystemExit(
                    f"after {kills} kills: lines lost in {lost}, measured again {again}, "
                    f"{orphans} processes left over"
                )
            if (
                run.returncode == 0
            ):  # finished in spite of it all: the next ones are spent on a new folder
                sweeps, results = sweeps + 1, Path(folder, str(sweeps + 1))
        if start(results).wait() != 0:
            raise SystemExit("the last run did not end well")
        total = sum(len(lines_of(Path(folder, str(number)))) for number in range(sweeps + 1))
        said = "no line lost or damaged, no finished arm begun again, no process left over"
        print(f"{kills} kills in {sweeps + 1} sweeps: {total} records, {said}")


if __name__ == "__main__":
    main()
