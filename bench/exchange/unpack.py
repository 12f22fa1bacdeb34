"""Write the files of a pack into a results folder without overwriting anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import UsageError
from bench.exchange.continuing import continued
from bench.exchange.pack import Checked, read_pack, verifying
from bench.exchange.signing import PublicKey
from bench.files.files import named, read, regular, write_whole
from bench.files.paths import inside


@dataclass(frozen=True)
class Unpacked:
    """The result of `unpack`, with files by their names in the pack."""

    checked: Checked
    written: list[str] = field(default_factory=list)
    continued: list[str] = field(default_factory=list)
    """Those of `written` that replaced a shorter version."""


def unpack(pack: Path, results: Path, keys: Sequence[PublicKey] = ()) -> Unpacked:
    """Check a pack as `verify` does, and write its files below `results`.

    With `keys`, it must be signed by one of them. Records of a machine that was not steady are
    accepted, since reports grade them.

    Raises UsageError, before anything is written, if the pack is damaged, if a file exists with
    different content, or if a link leads out of the folder.
    """
    opened = read_pack(pack, keys)
    checked = opened.checked
    if checked.damage:
        raise UsageError(
            f"unpack: {pack}: {checked.damage[0]}; fetch the pack again "
            f"(`{verifying(pack, keys)}` lists every problem)"
        )
    unpacked = Unpacked(checked)
    new = _new(opened.contents, results, unpacked)
    for name, content in new.items():
        path = results / name
        with named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
        unpacked.written.append(name)
    return unpacked


def _new(contents: dict[str, bytes], results: Path, unpacked: Unpacked) -> dict[str, bytes]:
    """Return the files to write, by name.

    Raises UsageError if one would be overwritten.
    """
    new: dict[str, bytes] = {}
    for name, content in sorted(contents.items()):
        path = inside(results, results / name)
        if regular(path) is None:
            new[name] = content
            continue
        old = read(path)
        kept = continued(name, old, content)
        if kept is None:
            raise UsageError(
                f"unpack: {path} exists with different content; move it away, or give another "
                "--results"
            )
        if kept != old:
            unpacked.continued.append(name)
            new[name] = content
    return new
