"""Tables in a terminal: from 60 to 200 columns no line is too long and no word is broken."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
from rich.cells import cell_len

from bench.cli.console import Terminal, print_tables, print_words
from bench.cli.tables.fitting import fitted
from bench.config import COMMAND
from bench.report.formats import csv_text, latex, markdown
from bench.report.notes import Caveat
from bench.report.table import Cell, Column, Table

from .program import ROOT, bench

WIDTHS = (60, 80, 100, 140, 200)
WORDS = ["convolution", "of", "patches", "is", "at", "equal", "parameters", "attention", "less"]


def drawn(draw: random.Random) -> Table:
    """A table with names, numbers with intervals, and a column of sentences somewhere."""
    headers: list[Column | str] = ["model", *(f"column {at}" for at in range(draw.randint(2, 9)))]
    prose = draw.randrange(1, len(headers))
    cells = []
    for row in range(draw.randint(1, 6)):
        cells.append([f"skeleton_{row}_" + "x" * draw.randint(2, 40)])
        for place in range(1, len(headers)):
            words = " ".join(draw.choices(WORDS, k=draw.randint(5, 12)))
            number = f"{draw.uniform(1, 99):.1f} [{draw.uniform(1, 99):.1f}, 99.9]"
            cells[-1].append(words if place == prose else number)
    return Table("a table", headers, cells)


def printed(table: Table, width: int) -> list[str]:
    console = Terminal(width=width)
    console.file = io.StringIO()
    print_tables(console, [table])
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_is_too_long_and_no_word_is_broken(width: int) -> None:
    draw = random.Random(width)
    for _ in range(100):
        table = drawn(draw)
        lines = printed(table, width)
        shown = fitted(table, width).table
        assert max(map(cell_len, lines)) <= width, table.rows
        words = set(" ".join(lines).split())
        for row in shown.rows:
            assert set(" ".join(row).split()) <= words, (width, row, lines)
        left_out = len(table.headers) - len(shown.headers)
        assert left_out == 0 or any("left out" in line for line in lines)


def test_what_matters_most_is_kept() -> None:
    keys = ["params", "activations", "throughput", "peak_memory"]
    columns: list[Column | str] = ["model", *(Column(key, key=key) for key in keys), "× vit_s16"]
    table = Table("t", columns, [["vit_s16", *["123,456,789.0"] * 4, "1.19 [0.99, 1.39]"]])
    assert fitted(table, 200).table.headers == table.headers
    assert fitted(table, 45).table.headers == ["model", "throughput", "× vit_s16"]


def test_long_names_are_shortened_from_the_right_with_a_legend() -> None:
    name = "skeleton_384_12_depthwise_pyramid_staged_ln_p16_m1706"
    table = Table("t", ["model", "a", "b"], [[name, "1.0 [0.9, 1.1]", "2.0 [1.9, 2.1]"]])
    shown = fitted(table, 60)
    assert shown.table.rows[0][0] == name[:23] + "…"
    assert shown.notes == [f"{name[:23]}… = {name}"]
    alike = Table("t", ["model", "a", "b"], [[name + end, *["1.0 [0.9, 1.1]"] * 2] for end in "ab"])
    assert fitted(alike, 60).table.rows[0][0] == name + "a", "equal shortened names say nothing"


@pytest.mark.parametrize("width", ["60", "80"])
def test_all_verdicts_fit_a_screen_or_two(width: str, tmp_path: Path) -> None:
    """On the committed records, as a user sees them through a pipe with `COLUMNS` set."""
    ended = bench(
        "study", "verdict", "--results", ROOT / "results", cwd=tmp_path, env={"COLUMNS": width}
    )
    assert ended.code == 0, ended
    lines = ended.out.splitlines()
    assert len(lines) <= 120
    assert max(cell_len(line) for line in lines if "python -m" not in line) <= int(width)


def test_two_columns_that_are_too_wide_wrap_between_words() -> None:
    value = " ".join(f"[{number}.0, {number}.5]" for number in range(9))
    lines = printed(Table("t", ["field", "value"], [["learning_rate_of_each", value]]), 40)
    assert max(map(cell_len, lines)) <= 40
    assert set(value.split()) <= set(" ".join(lines).split())


def test_counts_are_short_in_a_terminal_and_whole_in_files() -> None:
    counts = [21_110_248, 99_466, 999, 999_950, 1_250_000_000]
    cells = [["m", Cell(f"{count:,}", count)] for count in counts]
    table = Table("t", ["model", Column("params ↓", key="params")], cells)
    shown = [row[1] for row in fitted(table, 80).table.rows]
    assert shown == ["21.1 M", "99.5 k", "999", "1.00 M", "1.25 G"]
    assert "21,110,248" in markdown(table) and "21110248" in csv_text(table)
    assert "21,110,248" in latex(table)


def test_without_notes_the_first_caveats_stay_and_the_others_are_counted() -> None:
    notes = ["how", *(Caveat(f"beware {number}") for number in range(5)), "what"]
    tables = [Table("t", ["model", "a"], [["m", "1"]], notes)] * 2
    console = Terminal(width=80)
    console.file = io.StringIO()
    print_tables(console, tables, notes=False)
    lines = console.file.getvalue().splitlines()
    assert [line for line in lines if "beware" in line] == [f"beware {at}" for at in range(3)] * 2
    assert "how" not in lines and lines[-1] == "8 more notes: --notes"
    console.file = io.StringIO()
    print_tables(console, tables)
    assert console.file.getvalue().splitlines().count("what") == 2


@pytest.mark.parametrize("width", [40, 60, 200])
def test_a_command_is_never_wrapped(width: int) -> None:
    """It stands on a line of its own where it does not fit behind the words before it."""
    command = f"{COMMAND} run --reference convmixer_768_32 --match vit,mixer,resnet"
    console = Terminal(width=width)
    console.file = io.StringIO()
    print_words(console, f"networks of equal budget are found by: {command}")
    lines = console.file.getvalue().splitlines()
    assert any(line.endswith(command) for line in lines)
    assert all(cell_len(line) <= width for line in lines if COMMAND not in line)


@pytest.mark.parametrize("width", range(40, 90))
def test_no_line_ends_inside_a_figure(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        "vit_s16 is 4.20 × [3.90, 4.60] as fast as convmixer_768_32 on imagenet-1k, in 44 % of "
        "windows; resnet_digits has 98.4 [98.0, 98.8] % and an effect of -9.8 [-15.2, -4.4] points"
    )
    print_words(Terminal(width=width), text)
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(lines) == text and max(map(cell_len, lines)) <= width
    for whole in ("4.20 × [3.90, 4.60]", "44 %", "98.4 [98.0, 98.8] %", "-9.8 [-15.2, -4.4]"):
        assert any(whole in line for line in lines), (whole, lines)
    assert any("imagenet-1k," in line for line in lines)
