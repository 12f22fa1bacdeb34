"""Renew the stored screens of every command (tests/snapshots/*.txt).

    python -m tests.by_hand.screens            # all
    python -m tests.by_hand.screens report     # one, and print it

Then read `git diff tests/snapshots`: what changed is what users will see.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from ..screens import SCREENS, STORED, prepare, shown, store


def main(names: list[str]) -> None:
    """Render the screens and store them; print those that were named."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        prepare(home)
        for name in names or SCREENS:
            screens = {width: shown(name, width, home) for width in STORED}
            for width, text in screens.items() if names else ():
                print(f"=== {name} at {width} columns ===\n{text}")
            if SCREENS[name].stored:
                store(name, screens)


if __name__ == "__main__":
    main(sys.argv[1:])
