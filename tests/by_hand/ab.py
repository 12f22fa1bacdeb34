"""What `bench ab` promises: commits against themselves, and planted slowdowns, beside random load.

    python -m tests.by_hand.ab --comparisons 80 --minutes 1
    python -m tests.by_hand.ab --simulate 1000

Each comparison is a whole `python -m bench ab` in a process of its own, on a repository made for
it, while two programs are busy and idle for random times. Right after it, under the same load, the
usual way measures the same two commits for as long as that took: one after the other, the mean of
each, "slower" if the means differ by more than 5 %. The cycle is a commit against itself, 10 % more
work, a commit against itself, 5 % more work. Prints each result, and the shares: at most 5 % of the
former decided, at least 95 % of 10 % and 60 % of 5 % found. --simulate draws comparisons instead,
through the same rounds and rule on a clock of its own, and prints the shares for docs/ab.md.
A comparison takes its --minutes or less, and the usual way as long again; a thousand draws take
a few minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

from bench.check.selfcheck import programs

from ..ab_worlds import World
from ..program import environment

SIZE = 10_000
LIB = f"""
from itertools import islice

def added(pairs):
    total = 0
    for key, value in pairs:
        total += value * len(key)
    return total

def work(table):
    added(islice(table.items(), MORE))
    return added(table.items())

def case():
    return work, ({{f"key {{number}}": number for number in range({SIZE})}},)
"""
USUAL = """
import sys, time
sys.path.insert(0, sys.argv[1])
import lib
call, inputs = lib.case()
for _ in range(10):
    call(*inputs)
start, calls = time.perf_counter(), 0
while time.perf_counter() - start < float(sys.argv[2]):
    call(*inputs)
    calls += 1
print((time.perf_counter() - start) / calls)
"""
CYCLE = (0, 10, 0, 5)
MORE = (0, 5, 10, 30)
"""Percent of work that head has more."""
USUAL_LIMIT = 0.05
WORLDS = {
    "a quiet machine, 3 min": {"seconds": 180.0, "windows": 0.02, "processes": 0.01},
    "a shared machine, 3 min": {"seconds": 180.0, "windows": 0.12, "processes": 0.02},
    "a shared machine, 1 min": {"seconds": 60.0, "windows": 0.12, "processes": 0.02},
    "processes that differ, 3 min": {"seconds": 180.0, "windows": 0.05, "processes": 0.04},
    "torch (6 s a process), 5 min": {
        "seconds": 300.0,
        "windows": 0.08,
        "processes": 0.02,
        "setup_s": 6.0,
        "call_s": 0.05,
    },
}
"""Standard deviations of windows and of processes; docs/ab.md has the table."""


def repository(folder: Path) -> None:
    """Make a repository with a tag per slowdown: more0, more5 and so on."""
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@y"]
    subprocess.run([*git, "init", "-q"], check=True)
    for more in MORE:
        (folder / "lib.py").write_text(f"MORE = {SIZE * more // 100}\n{LIB}")
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-q", "-m", f"{more} % more"], check=True)
        subprocess.run([*git, "tag", f"more{more}"], check=True)


def by_ab(folder: Path, more: int, minutes: float) -> tuple[str, str]:
    """Return the word and the whole line of one comparison."""
    command = [sys.executable, "-m", "bench", "ab", "--base", "more0", "--head", f"more{more}"]
    done = subprocess.run(
        [*command, "--case", "./lib.py:case", "--minutes", f"{minutes}"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = (done.stdout or done.stderr).strip().splitlines()
    first = lines[0] if lines else f"exit code {done.returncode}"
    return re.split(r"[ :]", first)[0], first


def the_usual_way(folder: Path, more: int, seconds: float) -> float:
    """Return head's mean over the base's, measured one after the other in half the time each."""
    means = []
    for tag in ("more0", f"more{more}"):
        with tempfile.TemporaryDirectory() as tree:
            shown = subprocess.run(
                ["git", "-C", str(folder), "show", f"{tag}:lib.py"], capture_output=True, check=True
            )
            (Path(tree) / "lib.py").write_bytes(shown.stdout)
            done = subprocess.run(
                [sys.executable, "-c", USUAL, tree, str(seconds / 2)],
                capture_output=True,
                text=True,
                check=True,
            )
        means.append(float(done.stdout))
    return means[1] / means[0]


def measure(comparisons: int, minutes: float, load: int, cycle: tuple[int, ...]) -> None:
    """Compare again and again, and print the shares so far after each."""
    words: dict[int, Counter[str]] = defaultdict(Counter)
    usual: dict[int, list[float]] = defaultdict(list)
    busy = programs(load) if load else contextlib.nullcontext()
    with tempfile.TemporaryDirectory() as name, busy:
        folder = Path(name)
        repository(folder)
        for _, more in zip(range(comparisons), itertools.cycle(cycle), strict=False):
            start = time.monotonic()
            word, line = by_ab(folder, more, minutes)
            seconds = time.monotonic() - start
            ratio = the_usual_way(folder, more, seconds)
            words[more][word] += 1
            usual[more].append(ratio)
            print(f"{more} % more, {seconds:.0f} s: {line} · the usual way {ratio:.3f}", flush=True)
    for more, counted in sorted(words.items()):
        total = sum(counted.values())
        slower = sum(ratio - 1 > USUAL_LIMIT for ratio in usual[more])
        other = sum(abs(ratio - 1) > USUAL_LIMIT for ratio in usual[more])
        print(
            f"{more} % more work, {total} comparisons: "
            + ", ".join(f"{word} {number}" for word, number in counted.most_common())
            + f" · the usual way: {slower} slower by 5 %, {other} other by 5 %, "
            f"{min(usual[more]):.3f} to {max(usual[more]):.3f}"
        )


def simulate(draws: int) -> None:
    """Print the shares of drawn comparisons as a table."""
    print("| world | ratio 1: decided | SAME | 1.05: SLOWER | 1.10: SLOWER | check failed |")
    print("|---|---|---|---|---|---|")
    for name, fields in WORLDS.items():
        cells = []
        failed = total = 0
        for ratio in (1.0, 1.05, 1.10):
            counted: Counter[str] = Counter()
            for seed in range(draws):
                own = {key: value for key, value in fields.items() if key != "seconds"}
                found = World(seed=seed, ratio=ratio, **own).compared(fields["seconds"])  # type: ignore[arg-type]
                counted[found.decision.word] += 1
                failed += not found.decision.checked
                total += 1
            if ratio == 1.0:
                cells.append((counted["SLOWER"] + counted["FASTER"]) / draws)
                cells.append(counted["SAME"] / draws)
            else:
                cells.append(counted["SLOWER"] / draws)
        shown = " | ".join(f"{100 * cell:.1f} %" for cell in cells)
        print(f"| {name} | {shown} | {100 * failed / total:.1f} % |", flush=True)


def main() -> None:
    """Measure or simulate."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--comparisons", type=int, default=80)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--load", type=int, default=2, help="programs that run beside it")
    parser.add_argument("--cycle", default=",".join(map(str, CYCLE)), help="percent of more work")
    parser.add_argument("--simulate", type=int, help="draw this many comparisons instead")
    given = parser.parse_args()
    if given.simulate:
        simulate(given.simulate)
        return
    cycle = tuple(map(int, given.cycle.split(",")))
    measure(given.comparisons, given.minutes, given.load, cycle)


if __name__ == "__main__":
    main()
