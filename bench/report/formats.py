"""Tables as Markdown, CSV and LaTeX. What stands in a cell may come from a stranger: nothing in it is markup."""

from __future__ import annotations

import csv
import io
import re

from tabulate import tabulate

from bench.errors import visible
from bench.files.csv_cells import in_csv
from bench.report.table import Cell, Table, slug

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "↓": r"$\downarrow$", "↑": r"$\uparrow$", "×": r"$\times$", "±": r"$\pm$", "≈": r"$\approx$", "≥": r"$\geq$", "≤": r"$\leq$",
    "¹": r"\textsuperscript{1}", "·": r"$\cdot$", "…": r"\ldots{}", "²": r"\textsuperscript{2}", "–": "--", "—": "---",
    "µ": r"\textmu{}", "−": "$-$", "→": r"$\rightarrow$",
}  # fmt: skip


def markdown(table: Table) -> str:
    """A heading, a table in GitHub's dialect, and the notes as a list."""
    return "\n\n".join(
        part
        for part in (f"## {in_markdown(table.title)}", markdown_grid(table), _notes(table))
        if part
    )


def markdown_grid(table: Table) -> str:
    """The table alone."""
    headers = [in_markdown(name) for name in table.headers]
    rows = [
        [f"**{in_markdown(cell.text)}**" if cell.best else in_markdown(cell.text) for cell in row]
        for row in table.cells
    ]
    sides = ("left", *["right"] * (len(headers) - 1))
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True, colalign=sides)


def _notes(table: Table) -> str:
    return "\n".join(f"- {in_item(note)}" for note in table.notes)


MARKED = re.compile(
    r"[\\|`*~$]"  # ends a cell or code, opens code, stress or mathematics
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # stress; inside a word an underscore is one
    r"|\](?=[(\[:])"  # a link or the definition of one
    r"|:(?=//)|(?<=www)\."  # an address, which becomes a link by itself
)


def in_markdown(text: str) -> str:
    """Nothing may end a cell, open a tag or a link, or change the type."""
    text = MARKED.sub(r"\\\g<0>", visible(" ".join(text.splitlines())))
    for character, replacement in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, replacement)
    return text


def in_item(text: str) -> str:
    """As `in_markdown`, at the beginning of a line: it is no heading and no list either."""
    return re.sub(r"^(\s*(?:\d+(?=[.)])|(?=[#+=-])))", r"\1\\", in_markdown(text))


def csv_text(table: Table) -> str:
    """Full precision: a column of numbers becomes its value in the column's unit, with the ends of its interval beside it."""
    heads: list[str] = []
    for place in range(len(table.columns)):
        heads.append(_head(table, place))
        if _has_interval(table, place):
            heads += [f"{_head(table, place)}_low", f"{_head(table, place)}_high"]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(heads)
    for row in table.cells:
        line: list[str] = []
        for place, cell in enumerate(row):
            line.append(_value(cell))
            if _has_interval(table, place):
                line += ["" if end is None else repr(end) for end in (cell.low, cell.high)]
        writer.writerow(line)
    return buffer.getvalue()


def _head(table: Table, place: int) -> str:
    """`latency_ms_b1`: the header in letters that every tool takes, told apart where two would be the same."""
    names = [
        re.sub(
            r"[^a-z0-9]+", "_", column.name.lower().replace("%", "percent").replace("×", "x")
        ).strip("_")
        for column in table.columns
    ]
    name = names[place] or f"column_{place + 1}"
    return (
        name
        if names.count(names[place]) == 1
        else f"{name}_{names[: place + 1].count(names[place])}"
    )


def _has_interval(table: Table, place: int) -> bool:
    return any(row[place].low is not None for row in table.cells)


def _value(cell: Cell) -> str:
    """A number as such, anything else as text."""
    if cell.value is not None:
        return (
            repr(int(cell.value))
            if float(cell.value).is_integer() and abs(cell.value) < 1e15
            else repr(cell.value)
        )
    return in_csv(cell.text)


def latex(table: Table) -> str:
    """A `table` environment; needs booktabs. The notes stand under it in small type."""
    sides = "l" + "r" * (len(table.columns) - 1)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{in_latex(table.title)}}}",
        rf"\label{{tab:{slug(table.title).replace('_', '-')}}}",
        rf"\begin{{tabular}}{{{sides}}}",
        r"\toprule",
        " & ".join(in_latex(name) for name in table.headers) + r" \\",
        r"\midrule",
    ]
    for row in table.cells:
        cells = [
            rf"\textbf{{{in_latex(cell.text)}}}" if cell.best else in_latex(cell.text)
            for cell in row
        ]
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.notes:
        notes = r" \\ ".join(in_latex(note) for note in table.notes)
        lines += [
            r"\par\medskip",
            rf"\begin{{minipage}}{{\linewidth}}\footnotesize {notes}\end{{minipage}}",
        ]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def in_latex(text: str) -> str:
    """Every character that would be a command is shown instead."""
    shown = "".join(
        _LATEX.get(character, character) for character in visible(" ".join(text.split()))
    )
    return (
        f"{{[}}{shown[1:]}" if shown.startswith("[") else shown
    )  # the end of the row before would take it for its argument
