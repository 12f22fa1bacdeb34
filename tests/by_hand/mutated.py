"""Give 20,000 damaged inputs to everything that reads a file.

Expect no traceback, no hang, no growing memory, and nothing written or read elsewhere.

    python -m tests.by_hand.mutated --cases 20000

Sound inputs of every kind (tests/readers.py) are changed at random (bytes flipped, put in, taken
out, doubled, cut, nested thousands deep, numbers made huge, words exchanged), and read as the
program would. A reader must not take more than 1 GB over what importing torch takes.

Deterministic by --seed. Prints per reader how many cases there were, how many were refused, the
slowest, and how far memory grew; exits with 1 if anything failed. Takes about ten minutes.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import sys
import tempfile
from pathlib import Path

from tests.readers import MEMORY, Watch, one_case, prepared, readers


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="readers whose names contain this")
    asked = parser.parse_args()
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="bench-mutated-") as folder:
        every = [one for one in readers(Path(folder) / "made") if asked.only in one.name]
        for reader in every:  # imports, caches and compiled patterns are no case's doing
            reader.read(
                prepared(
                    reader,
                    Path(folder) / "first" / reader.name.replace(" ", "-"),
                    reader.content,
                    reader.content,
                )
            )
        start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        soft = resource.getrlimit(resource.RLIMIT_AS)[1]
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(
            resource.RLIMIT_AS, (size + 2 * MEMORY, soft)
        )  # what asks for more at once gets a MemoryError
        watch, shares = Watch(), sum(one.share for one in every)
        for reader in every:
            draw = random.Random(f"{asked.seed}:{reader.name}")
            for number in range(-(-asked.cases * reader.share // shares)):
                home = Path(folder) / "case"
                wrong = one_case(reader, home, reader.change(reader.content, draw), watch)
                shutil.rmtree(home)
                if wrong:
                    reader.counts["FAILED"] += 1
                    failures.append(f"{reader.name}, case {number}: {wrong}")
            said = ", ".join(f"{count:,} {what}" for what, count in sorted(reader.counts.items()))
            print(
                f"{reader.name:28} {said}; slowest {reader.slowest:.2f} s, "
                f"memory grew by {reader.grown >> 20} MB",
                flush=True,
            )
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) - start
    cases = sum(sum(one.counts[name] for name in ("read", "refused", "FAILED")) for one in every)
    print(
        f"{cases:,} cases, {len(failures)} failed; "
        f"memory {start / 1e9:.2f} GB at the start, grew by {grown / 1e9:.2f} GB"
    )
    print("\n".join(failures[:20]))
    return 1 if failures or grown > MEMORY else 0


if __name__ == "__main__":
    sys.exit(main())
