"""File names made from text, and the folder that a written path must not leave.

Names of models, data sets, policies and machines come from records, and records come from strangers. A clone of a
repository carries links. Every file name that contains such text is made here, and every folder that is written to is
checked here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from bench.errors import UsageError

LONGEST = 100
"""Characters of a file's stem; file systems take 255 bytes, and suffixes and temporary names come on top."""


def stem(text: str, joint: str = "_") -> str:
    """Return a file stem of letters, digits, underscores and hyphens; different texts never share one.

    Text that is such a stem stays as it is. Otherwise other characters become `joint`, and a digest of the text is added.
    """
    return (
        text
        if re.fullmatch(r"[a-z0-9][a-z0-9_-]*", text) and len(text) <= LONGEST
        else _told_apart(text, joint)
    )


def stems(texts: Iterable[str], joint: str = "_") -> list[str]:
    """Return one file stem per text, readable where possible: a digest is added only where two texts would share a stem."""
    found: list[str] = []
    for text in texts:
        plain = _plain(text, joint)
        one = plain if plain and plain not in found else _told_apart(text, joint)
        found.append(one if one not in found else f"{one}{joint}{len(found) + 1}")
    return found


def _plain(text: str, joint: str) -> str:
    return re.sub(r"[^a-z0-9]+", joint, text.lower()).strip(joint)[:LONGEST]


def _told_apart(text: str, joint: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return joint.join(
        part for part in (_plain(text, joint)[: LONGEST - 9].strip(joint), digest) if part
    )


def inside(home: Path, path: Path) -> Path:
    """Return `path`; UsageError where a link on the way leads out of the folder `home`."""
    try:
        found, within = path.resolve(), home.resolve()
    except (OSError, RuntimeError):  # a ring of links
        raise UsageError(f"{path}: a link to itself; remove the link") from None
    if not found.is_relative_to(within):
        raise UsageError(
            f"{path} leads to {found}, outside {home}; remove the link: nothing there is read or written"
        )
    return path
