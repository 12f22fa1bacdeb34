"""Packs, as `verify` reads them."""

from tests.fuzz.target import fuzz

if __name__ == "__main__":
    fuzz(
        __doc__,
        "pack",
    )
