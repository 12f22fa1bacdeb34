"""Print the hash of every study's question, at each scale or on each kind of device.

    python -m tests.by_hand.questions > before
    (edit studies)
    python -m tests.by_hand.questions | diff before -

A line that differs is a question that changed, and verdicts on its older data carry a star. If only
the wording changed, add the old hash with the new one to `FORMER` in bench/claims/questions.py.
Takes two seconds and measures nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.claims.questions import hash_of
from bench.claims.scales import SCALES
from bench.plugins import Study, studies

DEVICES = ("cpu", "cuda", "mps")


def questions(study: Study) -> Iterator[tuple[str, str]]:
    """Yield where a study is asked (a scale, a kind of device), with the question's hash."""
    if study.trains:
        for scale in SCALES:
            # A test checks that the kind of device does not change the hash of a training study.
            yield scale.key, hash_of(study, scale, "cpu")
    else:
        for device in DEVICES:
            yield device, hash_of(study, None, device)


if __name__ == "__main__":
    for study in studies.entries():
        for where, hash in questions(study):
            print(f"{hash}  {study.name} {where}")
