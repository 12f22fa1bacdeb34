"""A table as data: what it says is decided where it is made, how it looks is up to the console or the Markdown writer."""

from __future__ import annotations

from dataclasses import dataclass, field

COMMAND = "python -m bench"
MACS_NOTE = (
    "¹ multiply-adds of convolutions, linear layers and attention (many papers print this as FLOPs; FLOPs are 2 × as many); "
    "norm layers not counted"
)


@dataclass
class Table:
    """A title, a header, cells as text, and lines that belong under it."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
