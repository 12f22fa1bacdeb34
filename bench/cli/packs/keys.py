"""The flags for the keys of signed packs, the same in every command that has them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bench.errors import UsageError
from bench.exchange.signing import PrivateKey, PublicKey, private_key, public_key

SignFlag = Annotated[
    tuple[Path, ...],
    Parameter(
        negative=(),
        show_default=False,
        help="Private key in a PEM file to sign the pack with, such as one from "
        "`openssl genpkey -algorithm ed25519 -out key.pem`; needs convmixer-bench[sign].",
    ),
]
KeyFlag = Annotated[
    tuple[Path, ...],
    Parameter(
        negative=(),
        show_default=False,
        help="Public key in a PEM file that the pack must be signed by; several, if it may be any "
        "of them: --key FILE --key FILE. Needs convmixer-bench[sign], and no network. Get a key "
        "from its owner, not from where the pack comes from.",
    ),
]


def to_sign(paths: tuple[Path, ...]) -> PrivateKey | None:
    """Return the key of --sign, None without one; UsageError if it was given twice."""
    if len(paths) > 1:
        raise UsageError(
            f"--sign: given {len(paths)} times, and a pack has one signature; give one key"
        )
    return private_key(paths[0]) if paths else None


def expected(paths: tuple[Path, ...]) -> list[PublicKey]:
    """Return the keys of --key."""
    return list(map(public_key, paths))
