"""The README shows what the program rendered, and its commands exist."""

from __future__ import annotations

import re

from bench.plugins.registry import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_its_table_and_figures_are_those_of_a_committed_report() -> None:
    [shown] = re.findall(r"<!-- table -->\n(.*?)\n<!-- /table -->", README, flags=re.DOTALL)
    first, *others = re.findall(r"\((results/[^)]*/report\.md)\)", README)
    assert shown in (ROOT / first).read_text(encoding="utf-8")
    assert all((ROOT / other).exists() for other in others)
    for path in re.findall(r"!\[[^]]*\]\(([^)]*)\)", README):
        assert (ROOT / path).exists()


def test_the_speeds_that_its_text_quotes_are_in_the_report_beside_them() -> None:
    [(text, report)] = re.findall(
        r"On an NVIDIA H200(.*?)\[report\]\((results/[^)]*/report\.md)\)", README, flags=re.DOTALL
    )
    quoted = set(re.findall(r"(?:at|and) ([\d,]{3,})", text.replace("\n", " ")))
    table = (ROOT / report).read_text(encoding="utf-8").partition("## Handwritten kernels over")[2]
    assert quoted == {"399", "3,526", "3,006", "6,896"}
    assert all(f" {speed} |" in table for speed in quoted)


def test_its_commands_are_known() -> None:
    from bench.cli.app import app

    for command in re.findall(r"python -m bench (\w+)", README):
        assert command in app
