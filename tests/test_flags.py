"""Flags of times, and the groups of flags in `--help`."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from bench.cli.app import app, main
from bench.config import HOW_LONG, RunConfig
from bench.config.flags import time_in

from .program import assert_one_line, called


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20", 20.0),
        ("0.5", 0.5),
        ("20s", 20.0),
        ("2m", 120.0),
        ("2 min", 120.0),
        ("1.5h", 5400.0),
        ("1h30m", 5400.0),
        (" 1h 0m 5s ", 3605.0),
        ("inf", math.inf),
    ],
)
def test_a_time_with_units_is_seconds(text: str, seconds: float) -> None:
    assert time_in(1.0, text) == seconds


def test_a_bare_number_is_in_the_flags_own_unit() -> None:
    assert (time_in(60.0, "28"), time_in(60.0, "90s"), time_in(60.0, "1h")) == (28.0, 1.5, 60.0)


@pytest.mark.parametrize("text", ["", "soon", "20 parsecs", "m", "30m1h", "-2m", "1h30", "٣m"])
def test_anything_else_is_refused_with_times_that_work(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time; 90s, 2m or 1h30m would work"):
        time_in(1.0, text)


def bound(*arguments: str) -> RunConfig:
    """Return the configuration that a `run` is called with."""
    _, bound, _ = app.parse_args(["run", *arguments], exit_on_error=False, print_error=False)
    config: RunConfig = bound.arguments["config"]
    return config


def test_run_takes_times_on_the_command_line_and_in_a_suite(tmp_path: Path) -> None:
    typed = bound("--models", "vit_s16", "--time-budget", "1h30m", "--timeout", "10m")
    assert (typed.time_budget, typed.timeout) == (5400.0, 600.0)
    suite = tmp_path / "mine.toml"
    suite.write_text('models = ["vit_s16"]\ntime_budget = "2m"\ntimeout = 90\n')
    read = bound("--suite", str(suite))
    assert (read.time_budget, read.timeout) == (120.0, 90.0)
    assert bound("--suite", str(suite), "--time-budget", "20s").time_budget == 20.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--models", "vit_s16", "--time-budget", "soon"], "--time-budget"),
        (["study", "run", "all", "--max-minutes", "soon"], "--max-minutes"),
        (["visit", "--minutes", "soon"], "--minutes"),
        (["selfcheck", "--minutes", "soon"], "--minutes"),
        (["doctor", "--seconds", "soon"], "--seconds"),
    ],
)
def test_a_time_that_is_none_is_one_line(arguments: list[str], words: str, tmp_path: Path) -> None:
    ended = called(*arguments, cwd=tmp_path)
    assert_one_line(ended, words, "'soon' is not a time; 90s, 2m or 1h30m would work")


def test_every_flag_of_run_has_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    """A flag without one would stand in a panel of its own, before the others."""
    assert main(["run", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "─ Parameters ─" not in shown
    titles = ["What", "Training and evaluation", "How", "Where", "How long"]
    places = [shown.index(f"─ {title} ─") for title in titles]
    assert places == sorted(places)
    for field in dataclasses.fields(RunConfig):
        assert f"--{field.name.replace('_', '-')}" in shown
    [group] = HOW_LONG.group
    assert group.name == "How long"
