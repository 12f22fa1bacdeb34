"""The one exception that means "the user can mend this": printed as a single line, exit code 2."""


class UsageError(ValueError):
    """Bad input. The message names the flag or file, what was found and what would work."""


class Diverged(RuntimeError):
    """A training whose loss was not a finite number; the message names the step and the settings."""


def one_line(error: BaseException, most: int = 120) -> str:
    """What somebody else's error says, on one line of at most so many characters."""
    return " ".join(str(error).split())[:most]
