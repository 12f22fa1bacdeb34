"""The README shows what the program rendered, and its commands exist."""

from __future__ import annotations

import re

import pytest

from bench.claims.comparison import answer
from bench.plugins.registry import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
FOUND = README.partition("**Found so far**")[2].partition("```")[0]
"""What was found, on the first screen."""
INTERVAL = re.compile(r"(-?[\d.]+) \[(-?[\d.]+), (-?[\d.]+)\]")
WITH_COMMANDS = (
    "README.md",
    "docs/commands.md",
    "docs/tutorial.md",
    "docs/jobs.md",
    "docs/pick.md",
)


def report(words: str) -> str:
    """The text of a committed report that the README links to by some words."""
    [path] = re.findall(rf"\[{words}\]\((results/[^)]*/report\.md)\)", README)
    return (ROOT / path).read_text(encoding="utf-8")


def test_its_table_is_that_of_a_committed_report_and_its_figures_exist() -> None:
    [shown] = re.findall(r"<!-- table -->\n(.*?)\n<!-- /table -->", README, flags=re.DOTALL)
    assert shown in report("the whole report")
    linked = re.findall(r"\]\(([^)#h][^)#]*)", README) + re.findall(r'src="([^"]*)"', README)
    assert len(linked) > 10
    for path in linked:
        assert (ROOT / path).exists(), path


def test_what_it_says_of_all_conditions_is_what_the_records_and_tables_have() -> None:
    found = answer("convmixer_768_32 > vit_s16", "throughput", ROOT / "results")
    ratios = [one.ratio.value for one in found.conditions]
    said = re.findall(r"at (\d+) to (\d+) % of ViT-S/16's speed in all (\d+) conditions", README)
    assert said == [(f"{100 * min(ratios):.0f}", f"{100 * max(ratios):.0f}", f"{len(ratios)}")]
    assert found.count("holds") == 0


def test_every_interval_of_its_text_is_in_a_rendered_page() -> None:
    """As it is there, or with the sign turned: "-2 above" is written as "2 below"."""
    pages = [(ROOT / "docs/findings.md").read_text(encoding="utf-8"), report("the whole report")]
    for machine in ("amd-epyc-2t-cifar", "nvidia-h200-d28d", "nvidia-h100-80gb-hbm3-6a43"):
        pages.append((ROOT / "results" / machine / "report.md").read_text(encoding="utf-8"))
    rendered = [tuple(map(float, found)) for page in pages for found in INTERVAL.findall(page)]
    rendered += [(-middle, -high, -low) for middle, low, high in rendered]
    text = re.sub(r"<!-- table -->.*?<!-- /table -->", "", README, flags=re.DOTALL)
    said = INTERVAL.findall(" ".join(text.split()))
    assert len(said) >= 9
    for one in said:
        places = len(one[0].partition(".")[2])
        wanted = tuple(map(float, one))
        off = 0.51 * 10.0**-places
        assert any(wanted == pytest.approx(found, abs=off) for found in rendered), one


def test_the_speeds_that_its_text_quotes_are_in_the_report_beside_them() -> None:
    [(text, path)] = re.findall(
        r"On an NVIDIA H200(.*?)\[report\]\((results/[^)]*/report\.md)\)", README, flags=re.DOTALL
    )
    quoted = set(re.findall(r"([\d,.]{3,}) (?:images|\()", text.replace("\n", " ")))
    ratio = re.findall(r"it (\d\.\d+) +(\[.*?\]) times", text.replace("\n", " "))
    quoted |= set(re.findall(r"instead of ([\d,]+)", text.replace("\n", " ")))
    table = (ROOT / path).read_text(encoding="utf-8").partition("## Handwritten kernels over")[2]
    assert quoted == {"391", "3,564"}
    assert all(f" {speed} ±" in table for speed in quoted)
    assert [f"{middle} {ends}" in table for middle, ends in ratio] == [True]


@pytest.mark.parametrize("name", WITH_COMMANDS)
def test_its_commands_are_known(name: str) -> None:
    from bench.cli.app import app

    text = (ROOT / name).read_text(encoding="utf-8")
    commands = re.findall(r"python -m bench ([a-z]+)", text)
    assert commands
    for command in commands:
        assert command in app
