"""Names of models and of everything else in a registry."""

from tests.fuzz.target import fuzz

if __name__ == "__main__":
    fuzz(
        __doc__,
        "name",
        "spelled name",
        longest=400,
    )
