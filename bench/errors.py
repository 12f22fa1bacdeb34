"""The one exception that means "the user can mend this": printed as a single line, exit code 2; and text for one."""

import re


class UsageError(ValueError):
    """Bad input. The message names the flag or file, what was found and what would work."""


class ModelFault(RuntimeError):
    """A model that can't be measured as it was asked for; the message is one line that says what to do."""


class Diverged(RuntimeError):
    """A training whose loss was not a finite number; the message names the step and the settings."""


class Uncountable(RuntimeError):
    """A count that would be wrong; the message names the operators or modules that are the reason."""


def one_line(error: BaseException, most: int = 120) -> str:
    """What somebody else's error says, on one line of at most so many characters."""
    return " ".join(str(error).split())[:most]


UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What a terminal obeys instead of showing it: control characters, and those that turn the direction of writing."""


def visible(text: str) -> str:
    """Somebody else's text as a terminal may show it: what it would obey is spelled out, as `\\x1b`."""
    return UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)
