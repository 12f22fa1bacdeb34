"""Give records that the schema accepts, but nobody would measure, to everything that reads records.

    python -m tests.by_hand.odd --worlds 60

Each world is two machines with some fifty records of all kinds (tests/odd_worlds.py): tables in
every format, the page, all figures, verdicts, export, claims, pack and verify, compare, data
frames, McNemar's tests. Takes about ten seconds per world, half of it for figures. Prints how many
records of each kind were made and how many reached each stage; stops at the first seed that fails,
with its traceback.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from tests.odd_worlds import STAGES, reach


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", type=int, default=60)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument(
        "--figures-of", type=int, default=10, help="of how many of them figures are drawn"
    )
    asked = parser.parse_args()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="bench-odd-") as folder:
        for number in range(asked.worlds):
            stages = [name for name in STAGES if name != "figures" or number < asked.figures_of]
            print(f"seed {asked.first + number}", end="\r", flush=True)
            reach(Path(folder) / "world", asked.first + number, stages, counts)
    for name, count in counts.items():
        print(f"{count:>8,} {name}")


if __name__ == "__main__":
    main()
