"""Tables as Markdown, CSV and LaTeX: what a cell holds is text in all of them."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.files.csv_cells import in_csv
from bench.report.formats import csv_text, in_latex, in_markdown, latex, markdown
from bench.report.table import Cell, Column, Table, slug

TABLE = Table(
    "Efficiency · 224 px",
    [Column("model", "model"), Column("latency ms b1 ↓", "latency", "ms", "lower"), "seeds"],
    [
        ["a_b", Cell("1.23 ±0.1", 1.2345, 1.1, 1.3, best=True), "3"],
        ["<b>|`x`", Cell(""), "=SUM(A1)"],
    ],
    ["5 % of 10_000 & more"],
)


def test_markdown_marks_the_best_and_escapes() -> None:
    text = markdown(TABLE)
    assert "**1.23 ±0.1**" in text
    assert "&lt;b&gt;\\|\\`x\\`" in text
    assert text.startswith("## Efficiency · 224 px")


def test_csv_has_numbers_in_full_with_their_intervals() -> None:
    rows = list(csv.reader(io.StringIO(csv_text(TABLE))))
    assert rows[0] == ["model", "latency_ms_b1", "latency_ms_b1_low", "latency_ms_b1_high", "seeds"]
    assert rows[1] == ["a_b", "1.2345", "1.1", "1.3", "3"]
    assert rows[2] == ["<b>|`x`", "", "", "", "'=SUM(A1)"]


def test_latex_is_booktabs_and_balanced() -> None:
    text = latex(TABLE)
    for part in (
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
        r"\textbf{1.23 $\pm$0.1}",
        r"a\_b",
        r"5 \% of 10\_000 \& more",
    ):
        assert part in text
    assert text.count(r"\begin") == text.count(r"\end")


@given(st.text(max_size=40))
def test_no_text_is_a_command_in_latex(text: str) -> None:
    shown = in_latex(text)
    commands = set(re.findall(r"\\[A-Za-z]+", shown))
    assert commands <= {
        *(
            "\\textbackslash",
            "\\textasciitilde",
            "\\textasciicircum",
            "\\textless",
            "\\textgreater",
            "\\downarrow",
            "\\uparrow",
            "\\times",
        ),
        *(
            "\\pm",
            "\\approx",
            "\\geq",
            "\\leq",
            "\\textsuperscript",
            "\\cdot",
            "\\ldots",
            "\\textmu",
            "\\rightarrow",
        ),
    }
    depth = 0
    for character in re.sub(r"\\[{}]", "", shown):
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0


@given(st.text(max_size=40))
def test_no_text_opens_a_tag_or_ends_a_cell_in_markdown(text: str) -> None:
    shown = in_markdown(text)
    assert not re.search(r"[<>]", shown)
    assert not re.search(r"(?<!\\)[|`*]", shown.replace("\\\\", ""))
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)\]\(", shown)


def test_an_address_in_a_name_is_no_link() -> None:
    assert in_markdown("see https://x.y and www.x.y") == "see https\\://x.y and www\\.x.y"


@given(st.text(alphabet="\\|`*_$~[](:<a1 \x1b\x00\u202e\n=+-@", max_size=20))
def test_no_text_escapes_its_cell(text: str) -> None:
    """In all formats, a backslash in the text never cancels the one that escapes a mark."""
    shown = in_markdown(text)
    left = re.sub(
        r"\\[\\|`*_$~\]:.]", "e", shown
    )  # what is escaped, from the left as a reader of Markdown does
    assert not re.search(r"[\\|`*$~]|\](?=[(\[:])", left.replace("\\x", "").replace("\\u", ""))
    table = Table(text, ["model", text], [[text, Cell("1", 1.0)]], [text])
    for rendered in (markdown(table), csv_text(table), latex(table)):
        assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", rendered)
    cell = next(csv.reader(csv_text(table).splitlines()[1:]), [""])[0] if "\n" not in text else ""
    assert cell.strip()[:1] not in ("=", "@")


@pytest.mark.parametrize(
    "title", ["../../etc/passwd", "a/b\\c", "Top-1 · digits · recipe digits 732f"]
)
def test_a_title_is_no_path(title: str) -> None:
    assert re.fullmatch(r"[a-z0-9_]+", slug(title))
    assert Path(slug(title)).name == slug(title)


def test_a_bracket_or_an_unseen_blank_at_the_start_changes_nothing() -> None:
    assert in_latex("[-9cm]vit").startswith("{[}")
    assert in_csv("\ufeff=1+1").startswith("'")
    assert in_csv("a; =1+1;b") == "a;' =1+1;b"
