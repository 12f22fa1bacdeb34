"""Cells of CSV files that a spreadsheet does not take for formulas."""

from __future__ import annotations

from bench.errors import visible

FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"
"""What a spreadsheet takes for the beginning of a formula, also in the full width that East Asian keyboards type."""


BLANK = " \t\r\n\v\f\xa0\u200b\u200c\u200d\u2060\ufeff"
"""What stands in front of a cell's first character without being seen."""


def in_csv(text: str) -> str:
    """Text as a cell: what a spreadsheet would take for a formula gets a quote in front, unless it is a number.

    Many spreadsheets take a semicolon for the end of a cell, depending on the reader's country.
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
