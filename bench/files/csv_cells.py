"""Write text into CSV cells so that a spreadsheet does not take it for a formula."""

from __future__ import annotations

from bench.errors import visible

FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"
"""First characters of a formula, also in the full width that East Asian keyboards type."""


BLANK = " \t\r\n\v\f\xa0\u200b\u200c\u200d\u2060\ufeff"
"""Invisible characters that may precede the first character of a cell."""


def in_csv(text: str) -> str:
    """Return text as a cell, with a quote in front of anything that looks like a formula.

    Numbers stay as they are. Each part between semicolons is treated as a cell, because many
    spreadsheets split there, depending on the reader's country.
    """
    return ";".join(map(_no_formula, visible(text).split(";")))


def _no_formula(text: str) -> str:
    return text if text.lstrip(BLANK)[:1] not in tuple(FORMULA) or _is_number(text) else f"'{text}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
