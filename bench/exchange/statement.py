"""The statement of a signed pack: which files it has, by name and SHA-256.

A signed pack has one more file, `signature.dsse.json`: a DSSE envelope (secure-systems-lab/dsse,
v1) around an in-toto statement (in-toto/attestation, v1) whose subjects are the manifest and every
other file. Everything here is reading and comparing; bench/exchange/signing.py makes and checks
the signature itself.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from bench.errors import UsageError
from bench.files.foreign_errors import refusing

SIGNATURE = "signature.dsse.json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "tag:convmixer-bench,2026:pack/v1"
LARGEST = 16 << 20
"""Bytes of the largest envelope that is read: 50,000 files take 12 MB."""
FINGERPRINT = re.compile(r"[0-9a-f]{64}")


class Subject(msgspec.Struct):
    """One file of a statement: its name, and its digests in hexadecimal by algorithm."""

    name: str
    digest: dict[str, str]


class Predicate(msgspec.Struct):
    """What the statement says of its files: that they are a pack of this format."""

    format: int


class Statement(msgspec.Struct):
    """An in-toto statement."""

    type_: str = msgspec.field(name="_type")
    subject: list[Subject]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: Predicate


class Signed(msgspec.Struct):
    """One signature of an envelope: the fingerprint of its key, and base64 of its bytes."""

    keyid: str
    sig: str


class Envelope(msgspec.Struct):
    """A DSSE envelope: base64 of a payload, the payload's type, and its signatures."""

    payload: str
    payload_type: str = msgspec.field(name="payloadType")
    signatures: list[Signed]


@dataclass(frozen=True)
class Signature:
    """What a pack's envelope says.

    `fingerprint` is that of the signer's public key: the SHA-256 of its SubjectPublicKeyInfo in
    DER. `statement` is the payload, as bytes. `checked` is True if a key was given and fits.
    """

    fingerprint: str
    statement: bytes
    checked: bool = False


def make_statement(digests: Mapping[str, str], pack_format: int) -> bytes:
    """Return the statement of some files, from their SHA-256 by name."""
    subjects = []
    for name, digest in sorted(digests.items()):
        subjects.append(Subject(name, {"sha256": digest}))
    statement = Statement(STATEMENT_TYPE, subjects, PREDICATE_TYPE, Predicate(pack_format))
    return json.dumps(msgspec.to_builtins(statement), separators=(",", ":")).encode()


def read_envelope(content: bytes) -> Signature:
    """Return what an envelope says, without checking its signature.

    Raises UsageError if it is damaged, or not an envelope of one signature around a statement.
    """

    def refuse(words: str) -> UsageError:
        return UsageError(f"{SIGNATURE}: not the envelope of one signature ({words})")

    if len(content) > LARGEST:
        raise refuse(f"it has more than {LARGEST >> 20} MB")
    with refusing(refuse):
        envelope = msgspec.json.decode(content, type=Envelope)
        payload = base64.b64decode(envelope.payload, validate=True)
    if envelope.payload_type != PAYLOAD_TYPE:
        raise refuse(f"its payload is {envelope.payload_type[:60]!a}, not {PAYLOAD_TYPE}")
    if len(envelope.signatures) != 1:
        raise refuse(f"it has {len(envelope.signatures)} signatures")
    [signed] = envelope.signatures
    if not FINGERPRINT.fullmatch(signed.keyid):
        raise refuse(f"its key is named {signed.keyid[:70]!a}, not by a SHA-256")
    return Signature(signed.keyid, payload)


def differences(
    statement: bytes, digests: Mapping[str, str], pack_format: int
) -> Iterator[tuple[str, str]]:
    """Yield name and fault of every file that is not as the statement says.

    `digests` are the SHA-256 of a pack's files by name. Raises UsageError if the statement is
    damaged or of another kind.
    """
    said = _subjects(statement, pack_format)
    for name in sorted(said.keys() | digests.keys()):
        if name not in digests:
            yield name, "signed, and not in the pack"
        elif name not in said:
            yield name, "in the pack, and not signed"
        elif said[name] != digests[name]:
            yield name, "not the file that was signed (its SHA-256 differs)"


def _subjects(content: bytes, pack_format: int) -> dict[str, str]:
    """Return the SHA-256 of every file of a statement, by name."""

    def refuse(words: str) -> UsageError:
        return UsageError(f"{SIGNATURE}: its statement is not one of a pack's files ({words})")

    with refusing(refuse):
        statement = msgspec.json.decode(content, type=Statement)
    kind = (statement.type_, statement.predicate_type, statement.predicate.format)
    if kind != (STATEMENT_TYPE, PREDICATE_TYPE, pack_format):
        raise refuse(f"it is {statement.type_[:60]!a} of {statement.predicate_type[:60]!a}")
    said: dict[str, str] = {}
    for subject in statement.subject:
        if subject.name in said:
            raise refuse(f"it names {subject.name[:60]!a} twice")
        said[subject.name] = subject.digest.get("sha256", "")
    return said
