"""Write a results folder as one file, and check whether such a file from others can be accepted.

A pack is a zip archive of records and their arrays, with a manifest: its format, the SHA-256 of
every file, and that of the list itself. That exposes a changed sample, count or hash, unless
everything else was changed to match. Consistent forgery can only be found by a signature
(bench/exchange/statement.py), and by what must be true of records: `verify` also checks their keys,
the known counts, the A/A pair and the drift check.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bench.errors import UsageError
from bench.exchange.pieces import PACKED, Piece, pieces_of
from bench.exchange.record_checks import NO_RUN, faults_of_machine, read_records
from bench.exchange.signing import PrivateKey, PublicKey, check
from bench.exchange.statement import (
    SIGNATURE,
    Signature,
    differences,
    make_statement,
    read_envelope,
)
from bench.files import limits
from bench.files.files import named, regular, write_whole
from bench.files.foreign_errors import content_of, refusing
from bench.files.unpacking import Refusal, unpacked
from bench.record.store import Record, values_in

MANIFEST = "manifest.json"
PACK_FORMAT = 1
LARGEST = 256 << 20
"""Largest unpacked size of a pack in bytes; a file that claims more is not opened."""
MOST_FILES = 50_000
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Date of every file in a pack, so that the same records give the same bytes."""


@dataclass
class Checked:
    """The result of `verify`: a pack with `problems` is refused, one with `remarks` is not."""

    files: int
    records: int
    machines: list[str]
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    """Those of `problems` that are about the machine, which was not steady, and not the files."""
    signature: Signature | None = None
    """The signature of a signed pack, if it can be read."""

    @property
    def damage(self) -> list[str]:
        """The problems that are about the files."""
        return [problem for problem in self.problems if problem not in self.doubts]


@dataclass(frozen=True)
class ReadPack:
    """A pack: what `verify` finds, its files by name, and its records by machine.

    The files are without the manifest and the signature.
    """

    checked: Checked
    contents: dict[str, bytes]
    records: dict[str, list[Record]]


class Manifest(msgspec.Struct):
    """The list of a pack: SHA-256 by name, and that of the list itself."""

    format: int
    files: dict[str, str]
    sha256: str


# Writing


@dataclass
class Packing:
    """What was packed, and what its packer has to know."""

    files: int
    left_out: list[UsageError]
    """The errors of records and machines that `verify` would refuse."""
    doubts: list[str]
    """Which speeds did not pass their own checks: `verify` refuses them, `unpack` takes them."""


def pack(results: Path, target: Path, key: PrivateKey | None = None) -> Packing:
    """Write every sound record below `results`, with its arrays, into one file.

    The file is signed if a `key` is given. Records behind links are left out, since they may be
    somebody else's.

    Raises UsageError if there is nothing to write, more than `verify` reads, or if the file cannot
    be written.
    """
    _check_target(target)
    pieces, errors = pieces_of(results)
    left_out: list[UsageError] = [*errors]
    contents: dict[str, bytes] = {}
    for machine, own in _by_machine(pieces).items():
        if not any(piece.record.runs for piece in own):
            left_out.append(UsageError(f"{machine}: left out: {NO_RUN}"))
            continue
        for piece in own:
            contents |= piece.contents
    if not contents:
        raise left_out[0]
    size = sum(map(len, contents.values()))
    if size > LARGEST or values(contents) > limits.VALUES or len(contents) > MOST_FILES:
        most = f"{LARGEST >> 20} MB or {limits.VALUES:,} values"
        raise UsageError(
            f"pack: {results} has more than the {most} of one pack; pack fewer machines"
        )
    content = archived(contents, key)
    checked = _read(content, results, (), _too_much(results)).checked
    if checked.damage:
        raise _too_much(results)(checked.damage[0])
    _write(target, content)
    return Packing(len(contents), left_out, checked.doubts)


def _check_target(target: Path) -> None:
    """Raise UsageError for a file that is no archive, such as the key, and would be overwritten."""
    with named(target):
        if not regular(target):
            return
        with target.open("rb") as file:
            beginning = file.read(2)
    if beginning not in (b"", b"PK"):
        raise UsageError(
            f"pack: {target} exists and is no pack; give another name, such as mine.zip"
        )


def _by_machine(pieces: list[Piece]) -> dict[Path, list[Piece]]:
    """Return the pieces by the folder of their machine."""
    found: dict[Path, list[Piece]] = {}
    for piece in pieces:
        found.setdefault(piece.record.path.parent.parent, []).append(piece)
    return found


def _too_much(results: Path) -> Refusal:
    """Return how to refuse a folder whose pack could not be read again."""
    return lambda words: UsageError(
        f"pack: {results} makes a pack that `verify` refuses ({words}); pack fewer machines"
    )


def write_pack(target: Path, contents: dict[str, bytes], key: PrivateKey | None = None) -> None:
    """Write a pack of these files, by name, signed if a `key` is given.

    Raises UsageError if it cannot be written.
    """
    _write(target, archived(contents, key))


def archived(contents: dict[str, bytes], key: PrivateKey | None = None) -> bytes:
    """Return a pack of these files, by name, signed if a `key` is given.

    The same files give the same bytes; signed, they do with an Ed25519 key.
    """
    contents = dict(sorted(contents.items()))
    whole = {MANIFEST: make_manifest(contents), **contents}
    if key is not None:
        whole[SIGNATURE] = key.sign(make_statement(_digests(whole), PACK_FORMAT))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in whole.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _write(target: Path, content: bytes) -> None:
    try:
        write_whole(target, content)
    except OSError as error:
        raise UsageError(
            f"pack: {target} cannot be written ({error.strerror}); give a path that can"
        ) from None


def make_manifest(contents: dict[str, bytes]) -> bytes:
    """Return the list of a pack's files, with its own hash."""
    files = _digests(dict(sorted(contents.items())))
    manifest = Manifest(PACK_FORMAT, files, _sha256_of_list(files))
    return json.dumps(msgspec.structs.asdict(manifest), indent=1).encode()


def _digests(contents: dict[str, bytes]) -> dict[str, str]:
    """Return the SHA-256 of files, by name."""
    return {name: _sha256(content) for name, content in contents.items()}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _sha256_of_list(files: dict[str, str]) -> str:
    return _sha256(json.dumps(files, sort_keys=True).encode())


def values(contents: dict[str, bytes]) -> int:
    """Return an upper bound on the number of values in the records among some files."""
    return sum(values_in(content) for name, content in contents.items() if name.endswith(".jsonl"))


# Reading


def verify(path: Path, keys: Sequence[PublicKey] = ()) -> Checked:
    """Check everything about a pack. Nothing in it is executed or written.

    With `keys`, a pack that is not signed by one of them has that problem.

    Raises UsageError if the file is not a pack.
    """
    return read_pack(path, keys).checked


def verifying(path: Path, keys: Sequence[PublicKey]) -> str:
    """Return the command that lists every problem of a pack."""
    return f"python -m bench verify {path}" + "".join(f" --key {key.path}" for key in keys)


def read_pack(path: Path, keys: Sequence[PublicKey] = ()) -> ReadPack:
    """Return a pack with what `verify` finds.

    Raises UsageError if the file is not a pack.
    """

    def refuse(words: str) -> UsageError:
        return UsageError(f"{path} is not a pack ({words}); `python -m bench pack FILE` makes one")

    return _read(content_of(path, LARGEST, refuse), path, keys, refuse)


def _read(content: bytes, path: Path, keys: Sequence[PublicKey], refuse: Refusal) -> ReadPack:
    """Return a pack by its content; raise `refuse(reason)` if it is none. `path` is its name."""
    contents = _files_of(content, refuse)
    listed = contents.pop(MANIFEST, None)
    envelope = contents.pop(SIGNATURE, None)
    manifest = _read_manifest(path, listed)
    checked = Checked(files=len(contents), records=0, machines=[])
    digests = _digests(contents)
    faults = dict(_hashes(manifest, digests))
    if listed is not None:
        digests[MANIFEST] = _sha256(listed)
    try:
        checked.signature = _signature(envelope, keys)
        if checked.signature is not None:
            for name, fault in differences(checked.signature.statement, digests, PACK_FORMAT):
                faults.setdefault(name, fault)
    except UsageError as error:
        checked.problems.append(str(error))
    checked.problems += [f"{name}: {fault}" for name, fault in faults.items()]
    records = _check_records(checked, contents)
    return ReadPack(checked, contents, records)


def _signature(envelope: bytes | None, keys: Sequence[PublicKey]) -> Signature | None:
    """Return what the envelope of a pack says; None for a pack without one.

    Raises UsageError if it is damaged, or not by one of the `keys`.
    """
    if envelope is None:
        if keys:
            raise UsageError(
                f"not signed, and --key asks for a signature by {_either(keys)}; "
                "without --key it can be checked in all else"
            )
        return None
    read = read_envelope(envelope)
    return check(envelope, keys) if keys else read


def _either(keys: Sequence[PublicKey]) -> str:
    return " or ".join(str(key.path) for key in keys)


def _files_of(content: bytes, refuse: Refusal) -> dict[str, bytes]:
    """Return the files of a pack by name.

    Raises `refuse(reason)` for what is not a pack, has other names in it or would fill the memory.
    """
    contents = dict(
        unpacked(content, most=LARGEST, entries=MOST_FILES, allowed=PACKED, refuse=refuse)
    )
    if values(contents) > limits.VALUES:
        raise refuse(f"its records have more than {limits.VALUES:,} values together")
    return contents


def _read_manifest(path: Path, content: bytes | None) -> Manifest:
    def refuse(words: str) -> UsageError:
        return UsageError(
            f"{path} has no readable {MANIFEST} ({words}); `python -m bench pack FILE` makes a pack"
        )

    if content is None:
        raise refuse("it is missing")
    if values_in(content) > 2 * MOST_FILES:
        raise refuse("it is too long")
    with refusing(refuse):
        manifest = msgspec.json.decode(content, type=Manifest)
    if manifest.format != PACK_FORMAT:
        raise UsageError(
            f"{path} is a pack of format {manifest.format}, and this version reads {PACK_FORMAT}"
        )
    return manifest


# Checks


def _check_records(checked: Checked, contents: dict[str, bytes]) -> dict[str, list[Record]]:
    """Return the records of a pack by machine, and add what is wrong with them to `checked`."""
    by_machine = read_records(contents, checked.problems, largest=LARGEST)
    checked.machines = sorted(by_machine)
    checked.records = sum(map(len, by_machine.values()))
    if not checked.records and not checked.problems:
        checked.problems.append("there is no record in it")
    for machine, records in by_machine.items():
        problems, remarks = faults_of_machine(records)
        checked.doubts += [f"{machine}: {problem}" for problem in problems]
        checked.remarks += [f"{machine}: {remark}" for remark in remarks]
    checked.problems += checked.doubts
    return by_machine


def _hashes(manifest: Manifest, digests: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield name and fault of every file that is not as the manifest says."""
    files = manifest.files
    if _sha256_of_list(files) != manifest.sha256:
        yield MANIFEST, "its own hash is not that of its list"
    for name in sorted(files.keys() | digests.keys()):
        if name not in digests:
            yield name, "in the manifest and not in the pack"
        elif name not in files:
            yield name, "in the pack and not in the manifest"
        elif digests[name] != files[name]:
            yield name, "not the file that was packed (its SHA-256 differs)"
