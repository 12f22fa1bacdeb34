"""Suites, as a command takes them."""

from tests.fuzz.target import fuzz

if __name__ == "__main__":
    fuzz(
        __doc__,
        "suite",
        longest=4000,
    )
