"""Arrays beside a record: curves and answers."""

from tests.fuzz.target import fuzz

if __name__ == "__main__":
    fuzz(
        __doc__,
        "arrays beside a record",
    )
