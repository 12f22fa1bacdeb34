"""Where there is no terminal: a line per step, and twice a minute how far a long one is."""

from __future__ import annotations

import io
import time

import pytest

from bench.cli.console import REPEATED_S, Live, Terminal


def test_a_long_step_says_how_far_it_is_at_least_once_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The runner tells the last word again and again, so that a step of minutes is told too."""
    clock = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    out = io.StringIO()
    terminal = Terminal(width=160)
    terminal.file = out
    live = Live(terminal)
    live.step("top-1", "vit_s16", 0, 2, None)
    told = []
    for second in range(1, 181):
        clock = float(second)
        before = len(out.getvalue().splitlines())
        live.step("top-1", f"vit_s16 epoch {1 + second // 100}/60, [loss] 1.2", 0, 2, None)
        told += [second] * (len(out.getvalue().splitlines()) - before)
    live.step("top-1", "mixer_s16", 1, 2, None)
    lines = out.getvalue().splitlines()
    assert (
        max(later - earlier for earlier, later in zip([0, *told], [*told, 180], strict=True))
        <= REPEATED_S
        <= 60
    )
    assert lines[0] == "top-1 1/2"
    assert lines[1] == "top-1 1/2 vit_s16 epoch 1/60, [loss] 1.2"
    assert lines[-1] == "top-1 2/2"
