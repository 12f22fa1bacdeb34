"""Pictures, and archives of them."""

from tests.fuzz.target import fuzz

if __name__ == "__main__":
    fuzz(
        __doc__,
        "picture",
        "shard",
        "archive of classes",
    )
