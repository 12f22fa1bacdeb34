"""The output of every command from 60 to 200 columns: as stored, within the width, no broken word.

Where a screen changed on purpose, `python -m tests.by_hand.screens` renews the stored ones; read
the difference before you commit it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.cells import cell_len

from bench.config import COMMAND

from .program import bench
from .screens import SCREENS, SNAPSHOTS, STORED, WIDTHS, prepare, shown, stored

WIDE = 2000
"""Columns at which nothing is wrapped or left out."""
STYLE = re.compile(r"\x1b\[[0-9;]*m")
COLOUR = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:3[0-7]|38;|9[0-7])[0-9;]*m")
OWN_WORDS = ["left", "out", "at", "columns", "=", "in", "every", "row"]
"""Words of the notes on columns that were left out and on names that were shortened."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("screens")
    prepare(folder)
    return folder


def words(text: str) -> set[str]:
    return {word.strip(".,:;()¹↑↓") for word in text.split()}


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_fits_and_is_the_stored_one(name: str, home: Path) -> None:
    screen = SCREENS[name]
    known = words(shown(name, WIDE, home)) | {*OWN_WORDS, ""} | set(map(str, WIDTHS))
    for width in WIDTHS:
        text = shown(name, width, home)
        for line in text.splitlines():
            fits = cell_len(line) <= width or COMMAND in line or len(line.split()) == 1
            assert fits, (width, line)
        if screen.words:
            # Not what stands for a shortened name, nor the frame of a help page.
            broken = {word for word in words(text) - known if not {"…", "─"} & set(word)}
            assert not broken, (width, broken, text)
        if screen.stored and width in STORED:
            assert text == stored(name)[width], f"{name} at {width} columns; see the file's head"


def test_every_stored_screen_is_of_a_command() -> None:
    assert {path.stem for path in SNAPSHOTS.glob("*.txt")} == {
        name for name, screen in SCREENS.items() if screen.stored
    }


@pytest.mark.parametrize("name", ["report", "verdicts", "doctor", "help"])
def test_colours_change_no_character(name: str, home: Path) -> None:
    """In a terminal with colours, in one without (NO_COLOR), and through a pipe."""
    piped = shown(name, 80, home)
    assert "\x1b" not in piped
    coloured = shown(name, 80, home, FORCE_COLOR="1", TERM="xterm-256color")
    assert STYLE.search(coloured) and STYLE.sub("", coloured) == piped
    plain = shown(name, 80, home, FORCE_COLOR="1", NO_COLOR="1", TERM="xterm-256color")
    assert not COLOUR.search(plain) and STYLE.sub("", plain) == piped


def test_a_folder_with_speeds_alone_says_nothing_about_studies(home: Path) -> None:
    text = shown("report_notes", 100, home)
    assert "Efficiency" in text and "not measured: " not in text
    assert "verdict" not in text.lower() and "study" not in text.lower()


def test_notes_behind_a_flag_are_counted(home: Path) -> None:
    """What --notes adds is as many notes as the line without it says."""
    brief, whole = shown("report", 200, home), shown("report_notes", 200, home)
    [hidden] = re.findall(r"^(\d+) more notes: --notes$", brief, re.MULTILINE)
    assert int(hidden) > 5 and "--notes" not in whole
    assert "MACs 0." in brief, "budgets change how the table is read"
    assert "multiply-adds of convolutions" not in brief
    assert "multiply-adds of convolutions" in whole


def test_as_a_user_sees_it(home: Path) -> None:
    """One of the screens in a process of its own, through a pipe: it is the stored one."""
    command = ("compare", "before", "after", "--fail-on-regression", "5%")
    ended = bench(*command, cwd=home, env={"COLUMNS": "80"})
    assert ended.code == 1 and ended.out == stored("compare")[80]
