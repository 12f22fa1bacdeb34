"""Write models/released.json: digests of the code of models/, without comments and layout.

    python -m tests.by_hand.released

A model of this release is known by its name alone, so that its old records stay valid. Run this
after a change to a file in models/ that leaves what it builds the same. If it builds something
else, change the names too; otherwise records of the old model would pass for those of the new one.

A new file need not be listed: its models are identified by what they build, like a user's own. At a
release it is listed, and what was measured of its models before is measured again.
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
