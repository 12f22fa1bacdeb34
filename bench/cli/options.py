"""Types of the options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bench.devices import choices

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
