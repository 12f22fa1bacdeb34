"""Types of flags, such as lists and times, and the groups that `--help` shows them in."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter, Token

SPELLED = re.compile(
    r"(?:(?P<h>\d+(?:\.\d+)?) *h)? *(?:(?P<m>\d+(?:\.\d+)?) *m(?:in)?)? *"
    r"(?:(?P<s>\d+(?:\.\d+)?) *s)?",
    re.ASCII,
)
"""A time with units, such as `1h30m`, `2 min` or `20s`; empty text matches too."""
IN_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}


def _commas(hint: Any, tokens: Sequence[Token]) -> tuple[Any, ...]:
    """Parse `a,b` on the command line and ["a", "b"] in TOML to the same tuple."""
    item: type = hint.__args__[0]
    parts = [part.strip() for token in tokens for part in token.value.split(",")]
    try:
        return tuple(map(item, filter(None, parts)))
    except ValueError:
        example = "numbers, such as 0.485,0.456,0.406"
        if item is int:
            example = "whole numbers, such as 1,8,64"
        raise ValueError(f"{','.join(parts)!r} is not a list of {example}") from None


def time_in(unit: float, text: str) -> float:
    """Return a time in units of `unit` seconds; a bare number is in that unit already.

    Raises ValueError for anything but a number or a time such as `20s`, `2m` or `1h30m`.
    """
    try:
        return float(text)
    except ValueError:
        found = SPELLED.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        raise ValueError(f"{text!r} is not a time; 90s, 2m or 1h30m would work")
    parts = found.groupdict(default="0")
    return sum(float(parts[name]) * seconds for name, seconds in IN_SECONDS.items()) / unit


def _time(unit: float) -> Parameter:
    """Return the annotation of a flag whose bare numbers are in units of `unit` seconds."""

    def converted(hint: Any, tokens: Sequence[Token]) -> float:
        return time_in(unit, tokens[0].value)

    converter: Callable[[Any, Sequence[Token]], float] = converted
    return Parameter(converter=converter)


def _group(title: str, place: int) -> Parameter:
    return Parameter(group=Group(title, sort_key=place))


LIST = Parameter(converter=_commas, n_tokens=1, negative=(), show_default=False)
Names = Annotated[tuple[str, ...], LIST]
Numbers = Annotated[tuple[int, ...], LIST]
Shares = Annotated[tuple[float, ...], LIST]
Plain = Parameter(show_default=False)
Switch = Annotated[bool, Parameter(negative=(), show_default=False)]
SECONDS, MINUTES = _time(1.0), _time(60.0)
"""Annotations of times: seconds or minutes, or with units, such as 20s, 2m or 1h30m."""
Interpolation = Literal["bicubic", "bilinear", "nearest", "lanczos", "hamming", "box"]
CropMode = Literal["center", "squash", "border"]

WHAT = _group("What", 1)
TRAINING = _group("Training and evaluation", 2)
IMAGES = _group("How images are shown to weights", 3)
HOW = _group("How", 4)
WHERE = _group("Where", 5)
HOW_LONG = _group("How long", 6)
"""The groups of flags, in the order of `--help`."""
