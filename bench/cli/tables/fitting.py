"""Tables in the width that a terminal has: nothing is broken inside a word.

Columns of prose wrap between words. If a table is still too wide, long names are shortened, with a
legend; then columns are left out, and named: first those with one value in every row, which is said
once, then the least important ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from rich.cells import cell_len

from bench.errors import visible
from bench.report.columns import display_of
from bench.report.table import Cell, Table

GAP = 2
"""Spaces between two columns."""
PROSE_WORDS, PROSE_WIDTH = 4, 16
"""A column is prose if a cell has so many words; it is then at least so wide, if it needs to be."""
NAME_WIDTH = 0.4
"""Share of the width that the first column may take before its names are shortened."""
SHORTEST = 20
"""Names up to this length are never shortened."""
FEW = 3
"""Rows of which one value in every row is no chance."""
LEAST = (
    "activations",
    "top5",
    "train_peak_memory",
    "peak_memory",
    "memory",
    "first_call",
    "train_images_per_s",
    "train_s",
    "where",
    "estimate",
    "metrics",
    "hash",
    "twins",
    "searched",
    "classes",
    "tokens",
    "claims",
    "trains",
    "better",
    "trainings",
    "open",
    "px",
    "chosen_by",
    "family",
    "params",
    "macs",
)
"""Columns by key in the order in which they are left out; then all others, from the right."""
KEPT = (
    "question",
    "summary",
    "tells",
    "outcome",
    "verdict",
    "metric",
    "ratio_95_holm",
    "value_95",
    "leading_effect_95",
)
"""Columns by key that are left out last, in this order, as ratios are after them."""
WORD = re.compile(r"[^\W\d_]{2,}")
NUMBER = re.compile(r"[-−+~≈<>×]?\s*[\d.]")


@dataclass(kw_only=True)
class Fitted:
    """A table as it is shown: its columns, their widths, which are of text, and what to add below.

    `notes` say what was left out and which names were shortened.
    """

    table: Table
    widths: list[int]
    text: list[bool]
    notes: list[str] = field(default_factory=list)


def fitted(table: Table, width: int) -> Fitted:
    """Return a table for a terminal of `width` columns."""
    table = _briefly(table)
    places = list(range(len(table.columns)))
    names, legend = _shortened(table, width)
    left_out: list[int] = []
    while _needed(names, places) > width and (least := _least(names, places)) is not None:
        places.remove(least)
        left_out.append(least)
    for place in reversed(left_out):  # a narrow column may fit where a wide one had to go
        if any(_column(names, place)) and _needed(names, [*places, place]) <= width:
            places = sorted([*places, place])
    left_out = [place for place in left_out if place not in places]
    shown = names.only(places)
    notes = [legend] if legend else []
    if left_out:
        headers = [_said(names, place) for place in sorted(left_out)]
        separator = "; " if any("," in header for header in headers) else ", "
        notes.append(f"left out at {width} columns: {separator.join(dict.fromkeys(headers))}")
    return Fitted(
        table=shown,
        widths=_widths(shown, width),
        text=[place == 0 or _is_text(shown, place) for place in range(len(shown.columns))],
        notes=notes,
    )


def _briefly(table: Table) -> Table:
    """Return the table with counts such as `21.1 M` where files have every digit."""
    spelled = [display_of(column.key).brief for column in table.columns]
    cells: list[list[Cell]] = []
    for row in table.cells:
        shown = list(row)
        for place, brief in enumerate(spelled):
            value = row[place].value
            if brief is not None and value is not None:
                shown[place] = replace(row[place], text=brief(value))
        cells.append(shown)
    return Table(table.title, table.columns, cells, table.notes, published=table.published)


def _column(table: Table, place: int) -> list[str]:
    return [visible(row[place].text) for row in table.cells]


def _is_text(table: Table, place: int) -> bool:
    """True for prose, and if most filled cells of a column do not begin with a number."""
    if _is_prose(table, place):
        return True
    filled = list(filter(None, _column(table, place)))
    return sum(NUMBER.match(text) is None for text in filled) > len(filled) / 2


def _is_prose(table: Table, place: int) -> bool:
    words = [sum(map(bool, map(WORD.search, text.split()))) for text in _column(table, place)]
    return max(words, default=0) >= PROSE_WORDS


def _longest_word(texts: Sequence[str]) -> int:
    return max(map(cell_len, chain.from_iterable(map(str.split, texts))), default=0)


def _widest(texts: Sequence[str]) -> int:
    return max(map(cell_len, texts), default=0)


def _natural(table: Table, place: int) -> int:
    """Return the width of a column that is not wrapped at all."""
    return _widest([visible(table.headers[place]), *_column(table, place)])


def _least_width(table: Table, place: int) -> int:
    """Return the width that a column needs at least: headers and prose wrap between words."""
    header, texts = visible(table.headers[place]), _column(table, place)
    if not _is_prose(table, place):
        return max(_widest(texts), _longest_word([header]))
    return min(_natural(table, place), max(_longest_word([header, *texts]), PROSE_WIDTH))


def _needed(table: Table, places: Sequence[int]) -> int:
    widths = [_least_width(table, place) for place in places]
    return sum(widths) + GAP * (len(places) - 1)


def _least(table: Table, places: Sequence[int]) -> int | None:
    """Return the column to leave out next; None if only the first two are left."""
    if len(places) < 3:
        return None
    shared = {place: _in_every_row(table, place) for place in places[1:]}
    same = [place for place, text in shared.items() if text is not None]
    if same:  # empty columns go before those with a value
        return max(same, key=lambda place: (not shared[place], place))
    keys = {table.columns[place].key: place for place in places[1:]}
    for key in LEAST:
        if key in keys:
            return keys[key]
    others = [place for place in places[1:] if not _matters(table, place)]
    if others:
        return others[-1]
    return next((keys[key] for key in KEPT if key in keys), places[-1])


def _in_every_row(table: Table, place: int) -> str | None:
    """Return the text that all rows of a column share; None if they do not, or if it matters."""
    texts = set(_column(table, place))
    if len(texts) != 1 or len(table.cells) < FEW or _matters(table, place):
        return None
    return texts.pop()


def _said(table: Table, place: int) -> str:
    """Return how a column that is left out is named."""
    header, same = table.headers[place].rstrip(" ↑↓¹"), _in_every_row(table, place)
    return f"{header} ({same} in every row)" if same else header


def _matters(table: Table, place: int) -> bool:
    return table.headers[place].startswith("×") or table.columns[place].key in KEPT


def _widths(table: Table, width: int) -> list[int]:
    """Return the widths of all columns: prose gets what the others leave, most where most lacks.

    If even the least is too much, the widest columns wrap between words as well.
    """
    places = range(len(table.columns))
    widths = [_least_width(table, place) for place in places]
    left = width - sum(widths) - GAP * (len(widths) - 1)
    for place in sorted(places, key=lambda place: -widths[place]):
        spare = widths[place] - _longest_word(
            [visible(table.headers[place]), *_column(table, place)]
        )
        given = min(max(0, -left), spare)
        widths[place] -= given
        left += given
    lacking = {place: _natural(table, place) - widths[place] for place in places}
    total = sum(lacking.values())
    if total and left > 0:
        for place, lack in lacking.items():
            widths[place] += min(lack, left * lack // total)
    return widths


def _shortened(table: Table, width: int) -> tuple[Table, str]:
    """Return the table with names that fit, and a legend of those that were shortened."""
    names = _column(table, 0)
    if _needed(table, range(len(table.columns))) <= width or _is_prose(table, 0):
        return table, ""
    for limit in _limits(table, width):
        short = {name: name if len(name) <= limit else f"{name[: limit - 1]}…" for name in names}
        if len(set(short.values())) == len(short):
            break
    else:
        return table, ""
    cells: list[list[Cell]] = []
    for name, row in zip(names, table.cells, strict=True):
        cells.append([replace(row[0], text=short[name]), *row[1:]])
    cut = [f"{end} = {name}" for name, end in short.items() if end != name]
    shown = Table(table.title, table.columns, cells, table.notes, published=table.published)
    return shown, "; ".join(cut)


def _limits(table: Table, width: int) -> tuple[int, int]:
    """Return how long names may be: short enough for all columns, and the most they may take.

    Few long names are shortened for the sake of columns; where most are long, all stay longer.
    """
    most = max(SHORTEST, int(NAME_WIDTH * width))
    lengths = sorted(map(cell_len, _column(table, 0)))
    usual = max(SHORTEST, lengths[len(lengths) // 2])
    room = width - _needed(table, range(1, len(table.columns))) - GAP
    return min(most, max(usual, room)), most
