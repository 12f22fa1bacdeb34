"""Sign packs with a key from a file, and check such signatures, by securesystemslib: no network.

Keys are PEM files as openssl writes them: Ed25519, ECDSA over a NIST curve, or RSA. A key is named
by its fingerprint, the SHA-256 of its public part in DER:

    openssl pkey -pubin -in key.pub -outform DER | sha256sum
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError
from bench.exchange.statement import PAYLOAD_TYPE, SIGNATURE, Signature
from bench.files.foreign_errors import content_of, refusing
from bench.files.unpacking import Refusal

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, SSlibKey

LARGEST_KEY = 1 << 16
"""Bytes of the largest file that may be a key."""
SMALLEST_RSA = 2048
"""Bits of the smallest RSA key that is accepted: NIST SP 800-131A allows no smaller one."""
KEY_BLOCK = re.compile(rb"-----BEGIN [A-Z ]*KEY-----")
MAKE = "openssl genpkey -algorithm ed25519 -out key.pem"
PUBLISH = "openssl pkey -in key.pem -pubout -out key.pub"


@dataclass(frozen=True)
class PrivateKey:
    """A key to sign with."""

    signer: CryptoSigner

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the public part in DER, in hexadecimal."""
        return str(self.signer.public_key.keyid)

    def sign(self, payload: bytes) -> bytes:
        """Return an envelope around a statement, signed with this key."""
        from securesystemslib.dsse import Envelope

        envelope = Envelope(payload, PAYLOAD_TYPE, {})
        envelope.sign(self.signer)
        return json.dumps(envelope.to_dict(), indent=1).encode()


@dataclass(frozen=True)
class PublicKey:
    """A key to check signatures with, and the file it came from."""

    key: SSlibKey
    path: Path

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the key in DER, in hexadecimal."""
        return str(self.key.keyid)


def check(content: bytes, keys: Sequence[PublicKey]) -> Signature:
    """Return what an envelope says that is signed by one of these keys.

    Raises UsageError if it is damaged or signed by another key.
    """
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError

    def refuse(words: str) -> UsageError:
        return UsageError(f"{SIGNATURE}: its signature cannot be read ({words})")

    with refusing(refuse):
        envelope = Envelope.from_dict(json.loads(content))
    signers = ", ".join(envelope.signatures)
    named = [key for key in keys if key.fingerprint in envelope.signatures]
    if not named:
        given = " and ".join(f"{key.path} is key {key.fingerprint}" for key in keys)
        raise UsageError(f"{SIGNATURE}: signed by key {signers}, and {given}")
    try:
        envelope.verify([named[0].key], 1)
    except VerificationError:
        raise UsageError(
            f"{SIGNATURE}: its signature is not of this statement by key {signers}"
        ) from None
    return Signature(named[0].fingerprint, envelope.payload, checked=True)


def private_key(path: Path) -> PrivateKey:
    """Return the key in a file, to sign with.

    Raises UsageError if securesystemslib is not installed, or if the file has no such key.
    """
    content, refuse = _pem(path, SIGN)
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner

    if b"ENCRYPTED" in content:
        raise refuse(
            "it is encrypted with a passphrase; `openssl pkey -in KEY -out PLAIN.pem` decrypts it"
        )
    with refusing(refuse):
        own: Any = load_pem_private_key(content, None)
        public = _named(own.public_key(), refuse)
        return PrivateKey(CryptoSigner(own, public))


def public_key(path: Path) -> PublicKey:
    """Return the key in a file, to check signatures with.

    Raises UsageError if securesystemslib is not installed, or if the file has no such key.
    """
    content, refuse = _pem(path, CHECK)
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    with refusing(refuse):
        return PublicKey(_named(load_pem_public_key(content), refuse), path)


@dataclass(frozen=True)
class _Use:
    """What a key is for: the flag that names it, its kind, and where to get one.

    `other` is a mark of the kind of key that does not do, with words for it.
    """

    flag: str
    kind: str
    remedy: str
    other: tuple[bytes, str]


SIGN = _Use(
    "--sign",
    "private",
    f"`{MAKE}` makes one",
    (b"PUBLIC KEY", "it is a public key; --sign takes the private one"),
)
CHECK = _Use(
    "--key",
    "public",
    f"its owner makes one with `{PUBLISH}`",
    (b"PRIVATE KEY", "it is a private key, which only its owner should have"),
)


def _pem(path: Path, use: _Use) -> tuple[bytes, Refusal]:
    """Return the content of a file with one key in PEM, and how to refuse it.

    Raises UsageError if the library is not installed, or for any other file.
    """
    _require(use.flag)

    def refuse(words: str) -> UsageError:
        return UsageError(f"{use.flag}: {path} is no {use.kind} key ({words}); {use.remedy}")

    content = content_of(path, LARGEST_KEY, refuse)
    mark, words = use.other
    if mark in content:
        raise refuse(words)
    if b"OPENSSH" in content or content.startswith((b"ssh-", b"ecdsa-")):
        raise refuse("it is in OpenSSH's own form, and PEM is needed")
    if b"-----BEGIN" not in content:
        raise refuse("it has no PEM block, which begins with -----BEGIN")
    keys = len(KEY_BLOCK.findall(content))
    if keys > 1:
        raise refuse(f"it has {keys} keys; give a file with one")
    return content, refuse


def _require(flag: str) -> None:
    """Raise UsageError if the library or what it computes with is not installed."""
    try:
        import cryptography  # noqa: F401
        import securesystemslib  # noqa: F401
    except ImportError:
        raise UsageError(
            f"{flag}: needs securesystemslib and cryptography: pip install 'convmixer-bench[sign]'"
        ) from None


def _named(key: Any, refuse: Refusal) -> SSlibKey:
    """Return a key under its fingerprint; raise `refuse(reason)` for a kind that cannot sign."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from securesystemslib.signer import SSlibKey

    bits = getattr(key, "key_size", SMALLEST_RSA)
    if type(key).__name__.endswith("RSAPublicKey") and bits < SMALLEST_RSA:
        raise refuse(f"RSA of {bits} bits; {SMALLEST_RSA} are the fewest accepted")
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        return SSlibKey.from_crypto(key, keyid=hashlib.sha256(der).hexdigest())
    except ValueError:
        kind = type(key).__name__.removesuffix("PublicKey")
        raise refuse(f"its kind is {kind}; use Ed25519, ECDSA over a NIST curve, or RSA") from None
