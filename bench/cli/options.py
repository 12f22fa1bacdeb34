"""Types of the options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bench.devices import choices
from bench.errors import UsageError

ResultsFlag = Annotated[Path, Parameter(help="Results folder; it holds one folder per machine.")]
DeviceFlag = Annotated[str, Parameter(help=f"{choices()}.")]
JsonFlag = Annotated[
    bool,
    Parameter(
        name="--json", negative=(), show_default=False, help="Print JSON instead of a table."
    ),
]
NotesFlag = Annotated[
    bool,
    Parameter(
        negative=(),
        show_default=False,
        help="Print all notes below each table, not only those that change how it is read.",
    ),
]


def share(text: str, flag: str) -> float:
    """Return 0.05 for `5%` and `0.05`; UsageError for anything but a share below 1."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise UsageError(f"{flag}: must be a share below 1, got {text!r}; 5% or 0.05 would work")
    return value
