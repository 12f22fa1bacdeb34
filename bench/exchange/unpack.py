"""A pack's files laid into a results folder. Nothing that is there is overwritten."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import UsageError
from bench.exchange.pack import Checked, read_pack
from bench.files.files import named, read, regular, write_whole
from bench.files.paths import inside

GROWING = (".jsonl", ".ndjson", ".log")
"""Suffixes of files that are only appended to: one that continues another may replace it."""


@dataclass(frozen=True)
class Unpacked:
    """What was written, by the names in the pack."""

    checked: Checked
    written: list[str] = field(default_factory=list)
    continued: list[str] = field(default_factory=list)
    """Of those, files that went on since they were unpacked before."""


def unpack(pack: Path, results: Path) -> Unpacked:
    """Check a pack as `verify` does and write its files below `results`.

    UsageError if the pack is damaged, if a file of the same name has another content, or if a link
    leads out of the folder; nothing is written then. A restless machine is no reason to refuse its
    records: reports grade them.
    """
    checked, contents = read_pack(pack)
    refused = [problem for problem in checked.problems if problem not in checked.doubts]
    if refused:
        raise UsageError(
            f"unpack: {pack}: {refused[0]}; `python -m bench verify {pack}` names all "
            f"{len(refused)} reasons; fetch the pack again"
        )
    found = Unpacked(checked)
    new = _new(contents, results, found)
    for name, content in new.items():
        path = results / name
        with named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
        found.written.append(name)
    return found


def _new(contents: dict[str, bytes], results: Path, found: Unpacked) -> dict[str, bytes]:
    """Return what is to be written. UsageError if that would overwrite anything."""
    new: dict[str, bytes] = {}
    for name, content in sorted(contents.items()):
        path = inside(results, results / name)
        old = read(path) if regular(path) is not None else None
        if old == content or (old is not None and _continues(name, content, old)):
            continue
        if old is not None and not _continues(name, old, content):
            raise UsageError(
                f"unpack: {path} is there with another content; move it away, or give another "
                "--results"
            )
        if old is not None:
            found.continued.append(name)
        new[name] = content
    return new


def _continues(name: str, old: bytes, new: bytes) -> bool:
    """True if a file that is only added to was added to since."""
    return name.endswith(GROWING) and new.startswith(old)
