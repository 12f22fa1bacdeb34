"""Errors that the user can mend, and other programs' text made safe to print.

A UsageError is printed as a single line, with exit code 2.
"""

import re
import traceback


class UsageError(ValueError):
    """Bad input. The message names the flag or file, what was found and what would work."""


class ModelFault(RuntimeError):
    """A model cannot be measured as requested. The message is one line that says what to do."""


class Diverged(RuntimeError):
    """A training run's loss was not finite. The message names the step and the settings."""


class WrongOutput(RuntimeError):
    """A policy computes something else than the model. The message has the figures."""


class Uncountable(RuntimeError):
    """A count would be wrong. The message names the operators or modules that are the reason."""


def one_line(error: BaseException, most: int = 120) -> str:
    """Return the message of another library's error on one line, cut to `most` characters."""
    return " ".join(str(error).split())[:most]


def with_place(error: Exception) -> str:
    """Return an error of somebody's code in one line, with the file and line that raised it."""
    text = f"{type(error).__name__}: {error}"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{text} ({frame.filename}, line {frame.lineno})"


UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Characters that a terminal obeys instead of showing: control characters, and those that change
the direction of writing."""


def visible(text: str) -> str:
    """Return text with every character that a terminal would obey spelled out, such as `\\x1b`."""
    return UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)
