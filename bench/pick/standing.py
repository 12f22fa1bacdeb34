"""What a few rounds already say of a candidate: out of the question, or still in the running.

Few rounds of one process have no interval, and other processes of the same model would differ. So
what is concluded from them leaves room for that: every round has to be beyond the limit by a factor
of `CLEAR`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

CLEAR, CLEAR_AFTER = 1.25, 3
"""A candidate is clearly within or over a limit, or faster than another one, if it is so by this
factor in every one of at least so many rounds. (Processes of one model differed by 1 to 10 % on the
machines of this project, by rounds up to 15 %.)"""
ROOM = 3.0
"""A candidate may be over a limit of latency by this factor under its first policy, and still be
measured under others: no policy of the same precision has made a model faster by more here."""


@dataclass(frozen=True)
class Seen:
    """What is known of a candidate so far.

    `latency` and `throughput` have one value per round, in seconds and images per second; empty if
    they were not measured. `tops` are the top-1 that its weight sets have.
    """

    latency: Collection[float] = ()
    throughput: Collection[float] = ()
    tops: Sequence[float] = ()
    params: int = 0

    def over(self, limit: float | None, room: float = 1.0) -> bool:
        """True if clearly over a limit of latency that is `room` times as large."""
        if limit is None or len(self.latency) < CLEAR_AFTER:
            return False
        return min(self.latency) > room * CLEAR * limit

    def within(self, limit: float | None) -> bool:
        """True if clearly within a limit of latency, and without one."""
        if limit is None:
            return True
        return len(self.latency) >= CLEAR_AFTER and max(self.latency) * CLEAR < limit


def beats(one: Seen, other: Seen, objective: str) -> bool:
    """True if `one` is better than `other` whatever further rounds or weight sets say."""
    if objective == "top1":
        return bool(one.tops and other.tops) and min(one.tops) > max(other.tops)
    if objective == "params":
        return one.params < other.params
    if objective == "latency":
        return _clearly_less(one.latency, other.latency)
    return _clearly_less(other.throughput, one.throughput)


def _clearly_less(less: Collection[float], more: Collection[float]) -> bool:
    if min(len(less), len(more)) < CLEAR_AFTER:
        return False
    return max(less) * CLEAR < min(more)


def leaving(
    seen: Mapping[str, Seen],
    limit: float | None,
    objective: str,
    *,
    room: float = 1.0,
    sure: bool = True,
) -> dict[str, str]:
    """Return the candidates that cannot be the best, each with the reason.

    `room` is the factor by which one may be over the limit of latency for now. Unless `sure`, there
    are other limits, and none is known to meet all of them.
    """
    safe = [one for one in seen.values() if sure and one.within(limit)]
    reasons: dict[str, str] = {}
    for name, other in seen.items():
        if other.over(limit, room):
            far = "far over" if room > 1 else "over"
            reasons[name] = f"{far} the limit of latency in every round"
        elif any(beats(one, other, objective) for one in safe if one is not other):
            reasons[name] = "worse than one that is well within the limits"
    return reasons
