"""A value of any kind as JSON, so that the outputs of two sides can be compared.

Loaded by the timing server in a side's own interpreter: only the standard library is imported.
"""

from __future__ import annotations

import math
import sys
import zlib
from typing import Any

MOST_VALUES = 512
"""Values of an array that are sent for comparison, evenly spread over it."""
MOST_PARTS = 64
"""Parts of a nested output that are compared."""


def described(value: Any) -> list[dict[str, Any]]:
    """Return the parts of a nested value as a list of comparable descriptions."""
    parts: list[dict[str, Any]] = []
    flatten(value, "", parts)
    return parts


def flatten(value: Any, place: str, parts: list[dict[str, Any]]) -> None:
    """Append the description of every leaf below a value, with its place."""
    if len(parts) >= MOST_PARTS:
        return
    if isinstance(value, dict):
        keys = list(value)
        if all(isinstance(key, str) for key in keys) and len(keys) <= MOST_PARTS:
            for key in sorted(keys):
                flatten(value[key], f"{place}[{key!r}]", parts)
            return
    if isinstance(value, (list, tuple)):
        if value and all(type(one) in (int, float) for one in value):
            parts.append(numbers(place, "numbers", [len(value)], value))
        else:
            for index, one in enumerate(value):
                flatten(one, f"{place}[{index}]", parts)
    else:
        parts.append(leaf(value, place))


def leaf(value: Any, place: str) -> dict[str, Any]:
    """Return the description of something that is no container."""
    if type(value) in (int, float):
        return numbers(place, type(value).__name__, [], [value])
    if value is None or isinstance(value, (bool, str, bytes)):
        crc = zlib.crc32(repr(value).encode("utf-8", "replace"))
        return {"place": place, "kind": type(value).__name__, "text": repr(value)[:40], "crc": crc}
    array = as_array(value)
    if array is None:
        return {"place": place, "kind": type(value).__name__}
    return array_leaf(place, *array)


def as_array(value: Any) -> tuple[str, list[int], list[Any]] | None:
    """Return kind, shape and values, evenly spread, of a tensor or an array; None for others."""
    if "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor):
        kind = str(value.dtype).replace("torch.", "")
        flat = value.detach().reshape(-1)
        step = max(1, -(-flat.numel() // MOST_VALUES))
        chosen = flat[::step]
        if chosen.is_floating_point():
            chosen = chosen.double() if chosen.device.type != "mps" else chosen.float()
        return kind, list(value.shape), chosen.cpu().tolist()
    if "numpy" in sys.modules and hasattr(value, "__array__") and hasattr(value, "dtype"):
        array = sys.modules["numpy"].asarray(value)
        if array.dtype.kind in "fiub":
            flat = array.reshape(-1)
            step = max(1, -(-flat.size // MOST_VALUES))
            return str(array.dtype), list(array.shape), flat[::step].tolist()
    return None


def array_leaf(place: str, kind: str, shape: list[int], values: list[Any]) -> dict[str, Any]:
    """Return the description of an array from the values chosen."""
    if any(isinstance(one, complex) for one in values):
        values = [part for one in values for part in (one.real, one.imag)]
    return {
        "place": place,
        "kind": kind,
        "shape": shape,
        "values": [spelled(one) for one in values],
    }


def numbers(place: str, kind: str, shape: list[int], values: Any) -> dict[str, Any]:
    """Return the description of plain numbers, of a long list's evenly spread."""
    step = max(1, -(-len(values) // MOST_VALUES))
    return array_leaf(place, kind, shape, list(values[::step]))


def spelled(value: Any) -> Any:
    """Return a number that JSON can hold exactly: integers and what is not finite as text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    return int(value) if abs(int(value)) < 2**53 else str(value)
