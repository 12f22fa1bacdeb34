"""The folders for data sets that are downloaded by name."""

from __future__ import annotations

import os
from pathlib import Path


def cache(name: str) -> Path:
    """Return the folder of a data set in the user's cache (XDG_CACHE_HOME or ~/.cache), created."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = caches / "convmixer-bench" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
