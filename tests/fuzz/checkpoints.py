"""Checkpoints: safetensors, and torch of today and of old."""

from tests.fuzz.target import fuzz

if __name__ == "__main__":
    fuzz(
        __doc__,
        "checkpoint, safetensors",
        "checkpoint, torch",
        "checkpoint, torch of old",
    )
