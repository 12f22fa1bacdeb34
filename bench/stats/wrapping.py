"""Text in lines of a terminal: no line ends inside a word, or between a number and its unit."""

from __future__ import annotations

import re
import textwrap

NO_BREAK = "\N{NO-BREAK SPACE}"
INSIDE_A_FIGURE = re.compile(
    r"(?<=[\d\]]) (?=[%×])"  # 44 %, 4.2 ×, [98.0, 98.8] %
    r"|(?<=[×%\d]) (?=\[[-−\d.])"  # × [3.9, 4.6]
    r"|(?<=\d,) (?=[-−\d.,]+\])"  # the two ends of an interval
)
"""Spaces of a number with its unit and interval, such as `4.2 × [3.9, 4.6]`."""


def wrapped(text: str, width: int, *, first: str = "", more: str = "") -> list[str]:
    """Return one paragraph in lines of at most `width` characters.

    `first` and `more` are put before the first line and the others. A word that is longer than a
    line, such as a path, is not broken and stands alone.
    """
    lines = textwrap.wrap(
        INSIDE_A_FIGURE.sub(NO_BREAK, text),
        width,
        initial_indent=first,
        subsequent_indent=more,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(NO_BREAK, " ") for line in lines]
