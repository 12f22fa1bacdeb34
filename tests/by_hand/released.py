"""Writes models/released.json: what the files of models/ say at this release, comments and layout left out.

    python -m tests.by_hand.released

A model of this release is known by its name alone, so its old records go on counting. Run this after a change of a file in
models/ that leaves what it builds as it was. Where it builds something else, the names have to change too: records of the old
model would otherwise pass for the new one's.

A new file need not be listed: its models are identified by what they build, like a user's own. At a
release they are listed, and what was measured of them before is measured anew under their names.
"""

from __future__ import annotations

import json

from bench.count.identity import RELEASED
from bench.plugins import sources


def current() -> dict[str, str]:
    """Return the digest of every file by name, except `user.py`, which contains no model."""
    files = [path for path in sorted(RELEASED.parent.glob("*.py")) if path.name != "user.py"]
    return {path.name: sources.digest(path) for path in files}


if __name__ == "__main__":
    RELEASED.write_text(json.dumps(current(), indent=2) + "\n", encoding="utf-8")
    print(f"{RELEASED} written")
