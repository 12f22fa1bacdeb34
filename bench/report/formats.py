"""Tables as Markdown, HTML, CSV and LaTeX.

A cell may hold a stranger's text, so none of it is markup.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from functools import partial
from html import escape

from tabulate import tabulate

from bench.errors import visible
from bench.files.csv_cells import in_csv
from bench.report.notes import Note, for_papers
from bench.report.table import Cell, Table, slug

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "↓": r"$\downarrow$", "↑": r"$\uparrow$",
    "×": r"$\times$", "±": r"$\pm$", "≈": r"$\approx$", "≥": r"$\geq$", "≤": r"$\leq$",
    "¹": r"\textsuperscript{1}", "·": r"$\cdot$", "…": r"\ldots{}", "²": r"\textsuperscript{2}",
    "–": "--", "—": "---", "µ": r"\textmu{}", "−": "$-$", "→": r"$\rightarrow$",
    "†": r"$\dagger$", "‡": r"$\ddagger$",
}  # fmt: skip
_IN_LATEX = str.maketrans(_LATEX)


def markdown(table: Table) -> str:
    """Return a heading, a table in GitHub's dialect, and the notes as a list."""
    parts = (f"## {in_markdown(table.title)}", markdown_grid(table), in_list(table.notes))
    return "\n\n".join(filter(None, parts))


def markdown_grid(table: Table) -> str:
    """Return the table without heading and notes."""
    headers = list(map(in_markdown, table.headers))
    rows = [list(map(_markdown_cell, row)) for row in table.cells]
    sides = ("left", *["right"] * (len(headers) - 1))
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True, colalign=sides)


def _markdown_cell(cell: Cell) -> str:
    text = in_markdown(cell.text)
    return f"**{text}**" if cell.best else text


def in_list(texts: Iterable[str]) -> str:
    """Return texts as a list, one item per line."""
    return "\n".join(f"- {in_item(text)}" for text in texts)


MARKED = re.compile(
    r"[\\|`*~$]"  # ends a cell, or opens code, emphasis or mathematics
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # emphasis; inside a word, an underscore is itself
    r"|\](?=[(\[:])"  # a link or its definition
    r"|:(?=//)|(?<=www)\."  # an address, which would become a link
)


def in_markdown(text: str) -> str:
    """Return text in which nothing ends a cell, opens a tag or link, or changes the type."""
    text = MARKED.sub(r"\\\g<0>", visible(" ".join(text.splitlines())))
    for character, replacement in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, replacement)
    return text


def in_item(text: str) -> str:
    """Return text for the beginning of a line, where it is no heading or list either."""
    return re.sub(r"^(\s*(?:\d+(?=[.)])|(?=[#+=-])))", r"\1\\", in_markdown(text))


def html(table: Table) -> str:
    """Return a heading, a table with the best marked, and the notes, for a notebook.

    Notes with commands are folded away.
    """
    heads = "".join(f"<th>{in_html(name)}</th>" for name in table.headers)
    rows = [f"<tr>{''.join(map(_html_cell, range(len(row)), row))}</tr>" for row in table.cells]
    grid = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    plain = _html_list(note for note in table.notes if not isinstance(note, Note))
    more = _html_list(note for note in table.notes if isinstance(note, Note))
    folded = f"<details><summary>commands and details</summary>{more}</details>" if more else ""
    return f"<h4>{in_html(table.title)}</h4>{grid}{plain}{folded}"


def _html_list(notes: Iterable[str]) -> str:
    items = "".join(f"<li>{in_html(note)}</li>" for note in notes)
    return f"<ul>{items}</ul>" if items else ""


def _html_cell(place: int, cell: Cell) -> str:
    """Return a cell: names on the left, numbers on the right."""
    side = "right" if place else "left"
    text = in_html(cell.text)
    shown = f"<b>{text}</b>" if cell.best else text
    return f"<td style='text-align: {side}; white-space: nowrap'>{shown}</td>"


def in_html(text: str) -> str:
    """Return text in which nothing is a tag, and control characters are spelled out."""
    return escape(visible(text))


def csv_text(table: Table) -> str:
    """Return CSV with numbers in full precision, in the column's unit.

    A column with intervals is followed by two columns with their ends.
    """
    names = _column_names(table)
    with_interval = list(map(partial(_has_interval, table), range(len(names))))
    heads: list[str] = []
    for name, interval in zip(names, with_interval, strict=True):
        heads += [name, f"{name}_low", f"{name}_high"] if interval else [name]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(heads)
    for row in table.cells:
        line: list[str] = []
        for cell, interval in zip(row, with_interval, strict=True):
            line.append(_value(cell))
            line += [_end(cell.low), _end(cell.high)] if interval else []
        writer.writerow(line)
    return buffer.getvalue()


def _column_names(table: Table) -> list[str]:
    """Return names such as `latency_ms_b1`, in letters that every tool takes.

    Equal names are numbered.
    """
    bare = list(map(_bare_name, table.headers))
    names = []
    for place, name in enumerate(bare):
        number = f"_{bare[: place + 1].count(name)}" if bare.count(name) > 1 else ""
        names.append((name or f"column_{place + 1}") + number)
    return names


def _bare_name(header: str) -> str:
    text = header.lower().replace("%", "percent").replace("×", "x")
    return re.sub(r"[^a-z0-9]+", "_", text).strip("_")


def _has_interval(table: Table, place: int) -> bool:
    return any(row[place].low is not None for row in table.cells)


def _end(value: float | None) -> str:
    return "" if value is None else repr(value)


def _value(cell: Cell) -> str:
    """Return a cell's number if it has one, whole numbers without a point; else its text."""
    if cell.value is None:
        return in_csv(cell.text)
    whole = float(cell.value).is_integer() and abs(cell.value) < 1e15
    return repr(int(cell.value)) if whole else repr(cell.value)


def latex(table: Table) -> str:
    """Return a `table` environment, which needs booktabs.

    The notes follow in small type, without those that only help at a terminal.
    """
    sides = "l" + "r" * (len(table.columns) - 1)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{in_latex(table.title)}}}",
        rf"\label{{tab:{slug(table.title).replace('_', '-')}}}",
        rf"\begin{{tabular}}{{{sides}}}",
        r"\toprule",
        " & ".join(map(in_latex, table.headers)) + r" \\",
        r"\midrule",
    ]
    for row in table.cells:
        lines.append(" & ".join(map(_latex_cell, row)) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    if said := for_papers(table.notes):
        notes = r" \\ ".join(map(in_latex, said))
        small = rf"\footnotesize {notes}"
        lines += [r"\par\medskip", rf"\begin{{minipage}}{{\linewidth}}{small}\end{{minipage}}"]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _latex_cell(cell: Cell) -> str:
    text = in_latex(cell.text)
    return rf"\textbf{{{text}}}" if cell.best else text


def in_latex(text: str) -> str:
    """Return text in which every character that would be a command is shown instead."""
    characters = visible(" ".join(text.split()))
    shown = characters.translate(_IN_LATEX)
    # The end of the previous row would take a bracket for its argument.
    return f"{{[}}{shown[1:]}" if shown.startswith("[") else shown
