"""Make file names from text, and check that a written path stays inside its folder.

Names of models, data sets, policies and machines come from records, which strangers may have
written, and a cloned repository may contain links. Every file name with such text is made here, and
every folder that is written to is checked here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from bench.errors import UsageError

LONGEST = 100
"""Most characters of a stem; file systems allow 255 bytes with suffixes and temporary names."""


def stem(text: str, joint: str = "_") -> str:
    """Return a file stem of letters, digits, underscores and hyphens; no two texts share one.

    Text that is a stem already stays as it is. Otherwise other characters become `joint`, and a
    digest of the text is added.
    """
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]*", text) and len(text) <= LONGEST:
        return text
    return _with_digest(text, joint)


def stems(texts: Iterable[str], joint: str = "_") -> list[str]:
    """Return one file stem per text, with a digest only if two texts would share a stem."""
    names: list[str] = []
    for text in texts:
        name = _plain(text, joint)
        if not name or name in names:
            name = _with_digest(text, joint)
        if name in names:
            name = f"{name}{joint}{len(names) + 1}"
        names.append(name)
    return names


def _plain(text: str, joint: str) -> str:
    return re.sub(r"[^a-z0-9]+", joint, text.lower()).strip(joint)[:LONGEST]


def _with_digest(text: str, joint: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    readable = _plain(text, joint)[: LONGEST - 9].strip(joint)
    return f"{readable}{joint}{digest}" if readable else digest


def inside(home: Path, path: Path) -> Path:
    """Return `path`; UsageError if a link in it leads out of the folder `home`."""
    try:
        target, folder = path.resolve(), home.resolve()
    except (OSError, RuntimeError):  # a cycle of links
        raise UsageError(f"{path}: a link to itself; remove the link") from None
    if not target.is_relative_to(folder):
        raise UsageError(
            f"{path} is a link to {target}, outside {home}; remove the link: nothing is read or "
            "written there"
        )
    return path
