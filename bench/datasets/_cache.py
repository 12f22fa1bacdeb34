"""Where data sets go that are downloaded by name."""

from __future__ import annotations

import os
from pathlib import Path


def cache(name: str) -> Path:
    """The folder of one data set below the user's cache (XDG_CACHE_HOME, or ~/.cache)."""
    folder = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "convmixer-bench" / name
    )
    folder.mkdir(parents=True, exist_ok=True)
    return folder
