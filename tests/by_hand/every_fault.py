"""Let every call of commands fail, one at a time, and look at what is left.

    python -m tests.by_hand.every_fault                      # all of it: hours
    python -m tests.by_hand.every_fault --cases pack,train --every 7

A call is one of the C library's on files of the results or temporary files, pipes, sockets and
semaphores, on standard output, or a fork. It fails once with each of ENOSPC, EIO, EACCES, EMFILE,
ENOMEM, a short write, and SIGKILL of its process; the first call of each of the program's own
functions also raises MemoryError. After each: one line on the terminal and exit
code 1 or 2, or the command's usual end; no traceback, process or temporary file; no line of a
record lost or twice; the same command goes on to its end, and the pack of the results is accepted.
Prints what is broken, and the numbers of calls and faults. Needs Linux and a C compiler.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults import shim
from tests.program import ROOT, environment

if TYPE_CHECKING:
    from tests.faults.walk import Walk, Walked

MEMORY = "MemoryError"


def main() -> None:
    """Start anew with the library that lets calls fail, or walk if this process has it."""
    if not shim.can_be_built():
        sys.exit("faults need Linux and a C compiler (cc)")
    if shim.is_loaded():
        walk()
        return
    with tempfile.TemporaryDirectory() as folder:
        env = environment(**{shim.LOADED: str(shim.build(Path(folder))), "OMP_NUM_THREADS": "1"})
        command = [sys.executable, "-m", "tests.by_hand.every_fault", *sys.argv[1:]]
        sys.exit(subprocess.run(command, env=env, cwd=ROOT, check=False).returncode)


def walk() -> None:
    """Walk over the cases that were asked for."""
    from tests.faults import forked, warm
    from tests.faults.cases import CASES
    from tests.faults.plants import PLANTS
    from tests.faults.walk import KINDS, Walk

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", default=",".join(case.name for case in CASES))
    parser.add_argument("--kinds", default=",".join([*KINDS, MEMORY]))
    parser.add_argument("--calls", default="", help="such as write,fsync; all unless given")
    parser.add_argument("--every", type=int, default=1, help="try each n-th fault only")
    parser.add_argument("--start", type=int, default=0, help="the first of those")
    parser.add_argument("--plant", choices=PLANTS, help="break the program, to see it found")
    parser.add_argument(
        "--seconds",
        type=float,
        default=float("inf"),
        help="per case and at most, for calls and again for MemoryError; faults are then spread",
    )
    asked = parser.parse_args()
    forked.adopt()
    library, names = shim.Shim(), asked.cases.split(",")
    cases = [case for case in CASES if case.name in names]
    warm.warm(cases)
    calls = faults = broken = 0
    for case in cases:
        with tempfile.TemporaryDirectory(prefix="f", dir="/tmp") as folder:
            walked = _walked(Walk(library, case, Path(folder), asked.plant), asked)
        calls, faults = calls + sum(walked.calls), faults + walked.faults
        broken += len(walked.broken)
    print(f"{calls} calls, {faults} faults, {broken} invariants broken")
    sys.exit(bool(broken))


def _walked(walk: Walk, asked: argparse.Namespace) -> Walked:
    """Try the faults of one case, and print what is broken and how many there were."""
    began = time.monotonic()
    kinds = [kind for kind in asked.kinds.split(",") if kind != MEMORY]
    calls = [name for name in asked.calls.split(",") if name]
    for problem in walk.go(kinds, calls, asked.every, asked.start, asked.seconds):
        print(problem, flush=True)
    if MEMORY in asked.kinds:
        for problem in walk.without_memory(asked.every, asked.seconds):
            print(problem, flush=True)
    walked = walk.walked
    codes = ", ".join(f"{number} × {code}" for code, number in sorted(walked.codes.items()))
    print(
        f"{walked.name}: {sum(walked.calls)} calls, {walked.faults} of {walked.possible} faults "
        f"({walked.missed} calls not made again), exit codes {codes}, "
        f"{len(walked.states)} states, {len(walked.broken)} broken, slowest "
        f"{walked.slowest:.1f} s, {time.monotonic() - began:.0f} s in all",
        flush=True,
    )
    return walked


if __name__ == "__main__":
    main()
