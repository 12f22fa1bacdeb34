"""Whether two sides compute the same: their outputs, as the timing server describes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

Part = Mapping[str, Any]
ROUNDING = {
    "int": 1e-9,
    "float": 1e-9,
    "numbers": 1e-9,
    "float64": 1e-9,
    "float32": 1e-3,
    "float16": 3e-2,
    "bfloat16": 1e-1,
}
"""Largest difference that counts as rounding, as a share of the values' root mean square. Another
order of additions in a deep network changes float32 logits by some 1e-5 of it."""
PLAIN = {"int", "float", "numbers"}
"""Numbers of Python, which are compared by value whatever their types."""


def difference(base: Sequence[Part], head: Sequence[Part]) -> str | None:
    """Return in words how head's output differs from the base's; None if by rounding at most."""
    ours = {part["place"]: part for part in base}
    theirs = {part["place"]: part for part in head}
    if list(ours) != list(theirs):
        return f"base has {len(ours)} parts, head {len(theirs)}, or under other keys"
    for place, part in ours.items():
        if words := _differs(part, theirs[place]):
            return f"{f'at {place} ' if place else ''}{words}"
    return None


def unknown(parts: Sequence[Part]) -> bool:
    """True if nothing of an output can be compared."""
    return not any("values" in part or "crc" in part for part in parts)


def _differs(base: Part, head: Part) -> str | None:
    kinds = base["kind"], head["kind"]
    if kinds[0] != kinds[1] and not PLAIN.issuperset(kinds):
        return f"base has {kinds[0]}, head {kinds[1]}"
    if base.get("shape") != head.get("shape"):
        return f"base has shape {base.get('shape')}, head {head.get('shape')}"
    if "values" in base:
        return _values_differ(base, head)
    if base.get("crc") != head.get("crc"):
        return f"base has {base['text']}, head {head['text']}"
    return None


def _values_differ(base: Part, head: Part) -> str | None:
    left, right = (list(map(float, part["values"])) for part in (base, head))
    finite = [value for value in left if math.isfinite(value)]
    size = math.sqrt(math.fsum(value * value for value in finite) / max(1, len(finite))) or 1.0
    worst = max(map(_apart, left, right), default=0.0) / size
    if worst <= ROUNDING.get(base["kind"], 0.0):
        return None
    return f"the values differ by up to {worst:.2g} of their root mean square"


def _apart(left: float, right: float) -> float:
    if left == right or (math.isnan(left) and math.isnan(right)):
        return 0.0
    apart = abs(left - right)
    return apart if math.isfinite(apart) else math.inf
