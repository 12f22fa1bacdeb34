"""Give every field of records every value that no measurement gives, and show what is not refused.

    python -m tests.by_hand.impossible --folders 60

Each folder has two machines with some fifty records (odd ones, and copies of committed ones), and
each of these gets values until the schema lets one pass: 0, negative, huge and tiny numbers, texts,
lists and objects of other shapes, or no field at all. Those records go through tables, page,
verdicts, claims, pack and verify, compare, data frames, forecasts and the printing commands. Takes
about five seconds per folder, ten with --figures. Prints how many values were refused and shown;
for a stage that fails, its traceback and the values without which it would not have, and the exit
code is 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from pathlib import Path

from tests import impossible, odd_worlds


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folders", type=int, default=60)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--figures", action="store_true", help="draw figures, too")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")  # figures warn of what does not fit into them
    stages = [name for name in odd_worlds.STAGES if asked.figures or name != "figures"]
    tried: set[impossible.Cell] = set()
    counts: Counter[str] = Counter()
    known: set[str] = set()
    for seed in range(asked.first, asked.first + asked.folders):
        with tempfile.TemporaryDirectory(prefix="bench-impossible-") as folder:
            results = Path(folder) / "results"
            make = impossible.copy_of_results if seed % 2 else odd_worlds.make
            make(results, seed)
            found = impossible.change(results, tried, random.Random(seed), counts)
            for name in stages:
                if failure := _failure(name, results, found, known):
                    counts["FAILED"] += 1
                    print(f"seed {seed}, {name}: {failure}", flush=True)
        print(f"seed {seed}: {len(tried):,} values", end="\r", flush=True)
    print(", ".join(f"{count:,} {what}" for what, count in sorted(counts.items())))
    return 1 if counts["FAILED"] else 0


def _failure(name: str, results: Path, found: impossible.Changed, known: set[str]) -> str | None:
    """Take a folder through a stage; return what failed and because of what, each failure once."""

    def stage() -> None:
        odd_worlds.STAGES[name](results)

    try:
        stage()
    except Exception:
        text = traceback.format_exc(limit=-4)
        if text in known:
            return None
        known.add(text)
        first = next(impossible.culprits(stage, found), "several of them")
        return f"{first}\n{text}"
    return None


if __name__ == "__main__":
    sys.exit(main())
