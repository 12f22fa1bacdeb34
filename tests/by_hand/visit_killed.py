"""Kill a visit at random moments: what was finished is packed, verifies, and is reported elsewhere.

    python -m tests.by_hand.visit_killed [--times 10] [--seed 0] [--least 20] [--seconds 58]

Each time `bench visit --device cpu --minutes 1` is started in a folder of its own and killed by
SIGKILL after a random time. Then `bench visit --minutes 0` packs what is there, `bench verify`
checks the pack, `bench unpack` writes it into another folder, and `bench report` renders that. No
process of the visit may be left. It ends with one line per kill, "10 of 10 as they should be" and
exit code 0; a kill before the first record has nothing to pack and says so.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.visit.journal import Folder
from bench.visit.process import MARK
from tests.program import bench, environment


def left_behind() -> list[str]:
    """The command lines of processes that a step of any visit has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if MARK.encode() in (path / "environ").read_bytes():
                found.append((path / "cmdline").read_text().replace("\0", " ")[:120])
        except OSError:
            continue
    return found


def killed(folder: Path, seconds: float) -> str:
    """Kill a visit after so many seconds; return what was wrong with what it left, or ""."""
    command = [sys.executable, "-m", "bench", "visit", "--device", "cpu", "--minutes", "1"]
    process = subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(seconds)
    process.kill()
    process.wait()
    end = time.monotonic() + 20
    while left_behind() and time.monotonic() < end:
        time.sleep(0.2)
    if left := left_behind():
        return f"{len(left)} processes are left, such as {left[0]}"
    return _brought_home(folder)


def _brought_home(folder: Path) -> str:
    records = len(Folder(folder / "visit").record_sizes())
    packed = bench("visit", "--minutes", "0", cwd=folder)
    if not records and packed.code == 1 and "nothing to pack" in packed.err:
        return ""
    steps = [["verify", "visit.zip"], ["unpack", "visit.zip", "--results", "home"]]
    for arguments in [*steps, ["report", "--results", "home"]]:
        ended = bench(*arguments, cwd=folder)
        if ended.code:
            return f"{' '.join(arguments)}: exit code {ended.code}: {ended.text[-500:]}"
    return "" if packed.code == 0 else f"packing: exit code {packed.code}: {packed.text[-500:]}"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=58)
    parser.add_argument("--least", type=float, default=20)
    asked = parser.parse_args()
    draw, good = random.Random(asked.seed), 0
    for number in range(1, asked.times + 1):
        seconds = draw.uniform(asked.least, asked.seconds)
        with tempfile.TemporaryDirectory() as place:
            wrong = killed(Path(place), seconds)
            visit = Folder(Path(place) / "visit")
            steps, records = len(visit.entries()), len(visit.record_sizes())
        good += not wrong
        found = f"{steps} steps ended, {records} records"
        print(f"{number}: killed after {seconds:.1f} s, {found}: {wrong or 'ok'}", flush=True)
    print(f"{good} of {asked.times} as they should be")
    return 0 if good == asked.times else 1


if __name__ == "__main__":
    os.environ.pop(MARK, None)
    sys.exit(main())
