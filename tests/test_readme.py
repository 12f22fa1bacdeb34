"""The README shows what the program rendered, and its commands exist."""

from __future__ import annotations

import re

from bench.plugins.registry import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_its_table_and_figures_are_those_of_a_committed_report() -> None:
    [shown] = re.findall(r"<!-- table -->\n(.*?)\n<!-- /table -->", README, flags=re.DOTALL)
    [report] = set(re.findall(r"\((results/[^)]*/report\.md)\)", README))
    assert shown in (ROOT / report).read_text(encoding="utf-8")
    for path in re.findall(r"!\[[^]]*\]\(([^)]*)\)", README):
        assert (ROOT / path).exists()


def test_its_commands_are_known() -> None:
    from bench.cli.app import app

    for command in re.findall(r"python -m bench (\w+)", README):
        assert command in app
